"""Whole training steps of SimCLR, VICReg and BYOL, ours against the same in PyTorch, eager.

Both take views of CIFAR-10's size that lie in memory (augmentation is left out on both sides), run forward and backward
through a ResNet-18 with the small stem, projector and loss, and take a step of SGD with momentum; BYOL also moves its
copy. Every run is a fresh process with two threads; runs of the two libraries alternate; PyTorch runs in whichever
memory format is faster here. The ratio is PyTorch's median seconds a step divided by ours, over all timed steps of all
rounds. `epoch_seconds` is what 390 such steps take, one pass over CIFAR-10; a whole one is not run. The losses are
those of tests/losses/test_methods.py and test_vicreg.py; that both sides compute the same is checked on random
embeddings before anything is timed.

Command: python -m benchmarks.methods [--method NAME]... [--quick]
"""

import argparse
import json
import sys
from typing import Any

from benchmarks import machine

METHODS = ("simclr", "vicreg", "byol")
THREADS, ROUNDS, STEPS = 2, 5, 7
SETTINGS: dict[str, Any] = {"depth": 18, "widths": (512, 512, 128), "image_size": 32, "batch_size": 128}
_STEPS_PER_EPOCH = 50_000 // SETTINGS["batch_size"]
_WARM_UP = 2


def measure_ours(method: str, steps: int) -> dict[str, Any]:
    """Returns the seconds of each step of this library and the process' peak memory."""
    import keras
    import tensorflow as tf

    from barlowtf.losses import bind
    from barlowtf.models import BarlowTwins, make_encoder, make_projector
    from barlowtf.train.loop import compile_step

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    shape = (SETTINGS["image_size"], SETTINGS["image_size"], 3)
    encoder = make_encoder(f"resnet{SETTINGS['depth']}", image_shape=shape)
    projector = make_projector(encoder.output_shape[-1], SETTINGS["widths"])
    model = BarlowTwins(encoder, projector, loss=bind(method), total_steps=10_000)
    model.compile(optimizer=keras.optimizers.SGD(0.05, momentum=0.9), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    generator = tf.random.Generator.from_seed(0)
    views = tuple(generator.normal((SETTINGS["batch_size"], *shape)) for _ in range(2))
    step = compile_step(model, tf.distribute.get_strategy(), xla=False)
    return _timed(lambda: float(step(views)["loss"]), steps)


def measure_torch(method: str, steps: int, *, channels_last: bool) -> dict[str, Any]:
    """Returns the seconds of each step in PyTorch and the process' peak memory."""
    import torch

    from benchmarks.torch_methods import Step

    torch.set_num_threads(THREADS)
    return _timed(Step(method, **SETTINGS, channels_last=channels_last), steps)


def _timed(step: Any, steps: int) -> dict[str, Any]:
    seconds = machine.time_calls(step, warm_up=_WARM_UP, repeats=steps)
    return {"seconds": seconds, "peak_memory_bytes": machine.peak_memory_bytes()}


def compare_losses() -> dict[str, float]:
    """Returns the relative difference of the two libraries' losses on random embeddings, for each method."""
    import numpy as np
    import torch

    from barlowtf.losses import ViewEmbeddings, bind
    from benchmarks import torch_methods

    r = np.random.default_rng(0)
    z_a, z_b = (r.standard_normal((64, 32)).astype("f4") for _ in range(2))
    views = [ViewEmbeddings(z, z, z) for z in (z_a, z_b)]
    tensors = torch.from_numpy(z_a), torch.from_numpy(z_b)
    cosine = float(torch.nn.functional.cosine_similarity(*tensors).mean())
    theirs = {
        "simclr": float(torch_methods.simclr_loss(*tensors, bind("simclr").settings.temperature)),
        "vicreg": float(torch_methods.vicreg_loss(*tensors)),
        "byol": 4 - 4 * cosine,
    }
    return {name: abs(float(bind(name).compute(views)["total"]) / theirs[name] - 1) for name in METHODS}


def compare(method: str, *, rounds: int, steps: int) -> dict[str, Any]:
    """Returns both libraries' runs of a method, in turn, and the ratio of their medians."""
    formats = {}
    for name in ("channels_last", "contiguous"):
        probe = machine.run_child("benchmarks.methods", "--child", name, method, "1", threads=THREADS)
        formats[name] = machine.median(probe["seconds"])
    memory_format = min(formats, key=formats.__getitem__)
    raw: dict[str, list[list[float]]] = {"barlowtf": [], "pytorch": []}
    for _ in range(rounds):
        for library, kind in (("barlowtf", "ours"), ("pytorch", memory_format)):
            child = machine.run_child("benchmarks.methods", "--child", kind, method, str(steps), threads=THREADS)
            raw[library].append(child["seconds"])
    medians = {library: machine.median([s for run in runs for s in run]) for library, runs in raw.items()}
    return {
        "speed_ratio": round(medians["pytorch"] / medians["barlowtf"], 3),
        **{
            library: {
                "median_seconds": round(seconds, 4),
                "images_per_second": round(SETTINGS["batch_size"] / seconds, 1),
                "epoch_seconds": round(seconds * _STEPS_PER_EPOCH, 1),
                "raw_seconds_per_process": raw[library],
            }
            for library, seconds in medians.items()
        },
        "pytorch_memory_format": memory_format,
        "pytorch_format_probe_seconds": formats,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", action="append", choices=METHODS, help="only this one; may be repeated")
    parser.add_argument("--quick", action="store_true", help="one round of three steps: a look, not a figure")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    machine.pin(THREADS)
    if options.child:
        kind, method, steps = options.child
        ours = kind == "ours"
        last = kind == "channels_last"
        result = measure_ours(method, int(steps)) if ours else measure_torch(method, int(steps), channels_last=last)
        sys.stdout.write(json.dumps(result) + "\n")
        return
    rounds, steps = (1, 3) if options.quick else (ROUNDS, STEPS)
    methods = {}
    for name in options.method or METHODS:
        methods[name] = compare(name, rounds=rounds, steps=steps)
        sys.stderr.write(f"{name}: {methods[name]['speed_ratio']}x PyTorch\n")
    result = {
        "settings": {**SETTINGS, "threads": THREADS, "warm_up_steps": _WARM_UP, "rounds": rounds, "steps": steps},
        "losses_differ_by": compare_losses(),
        "methods": methods,
    }
    path = machine.write_result("methods-quick" if options.quick else "methods", result)
    sys.stderr.write(f"{path}\n")


if __name__ == "__main__":
    main()
