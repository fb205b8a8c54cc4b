"""Whole training step, ours against the authors' step in PyTorch.

Both take normalized random views that lie in memory (augmentation is left out on both sides), run forward and backward
through encoder, projector and loss for both views, and take the LARS step. Every run is a fresh process on two cores
with two threads; runs of the two libraries alternate; PyTorch runs in whichever memory format is faster here. The
ratio is PyTorch's median seconds a step divided by ours, over all timed steps of all rounds.

Threads: PyTorch 2. TensorFlow intra 2, inter 2, which is also what it chooses itself on two cores.

With --before DIR, a checkout of another commit, that code's step takes the place of PyTorch's: the ratio of the median
seconds in each round, then to now; writes results/step_before.json.

Command: python -m benchmarks.step [--case NAME]... [--quick] [--before DIR]
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine

THREADS = 2
_WARM_UP = 2


@dataclass(frozen=True)
class Case:
    """One comparison; `target` is the ratio asked for, `rounds` and `steps` bound its time."""

    depth: int
    image_size: int
    batch_size: int
    widths: tuple[int, int, int]
    bfloat16: bool
    target: float
    rounds: int
    steps: int


_RESNET50 = {"depth": 50, "image_size": 224, "batch_size": 16, "widths": (8192, 8192, 8192), "rounds": 5, "steps": 4}
_RESNET18 = {"depth": 18, "image_size": 32, "batch_size": 128, "widths": (2048, 2048, 2048), "rounds": 5, "steps": 7}
CASES = {
    "resnet50-float32": Case(**{**_RESNET50, "steps": 3}, bfloat16=False, target=1.9),
    "resnet50-bfloat16": Case(**_RESNET50, bfloat16=True, target=1.4),
    "resnet18-float32": Case(**_RESNET18, bfloat16=False, target=1.15),
    "resnet18-bfloat16": Case(**_RESNET18, bfloat16=True, target=1.05),
}


def measure_ours(case: Case, steps: int) -> dict[str, Any]:
    """Returns the seconds of each step of this library and the process' peak memory."""
    import tensorflow as tf

    from barlowtf.models import BarlowTwins, make_encoder, make_projector
    from barlowtf.optim import LARS
    from barlowtf.train.loop import compile_step

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    policy = "mixed_bfloat16" if case.bfloat16 else "float32"
    shape = (case.image_size, case.image_size, 3)
    encoder = make_encoder(f"resnet{case.depth}", image_shape=shape, dtype=policy)
    projector = make_projector(encoder.output_shape[-1], case.widths, dtype=policy)
    model = BarlowTwins(encoder, projector)
    model.compile(optimizer=LARS(0.2, 0.0048, weight_decay=1e-6), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    generator = tf.random.Generator.from_seed(0)
    views = tuple(generator.normal((case.batch_size, *shape)) for _ in range(2))
    step = compile_step(model, tf.distribute.get_strategy(), xla=False)
    return _timed(lambda: float(step(views)["loss"]), steps)


def measure_torch(case: Case, steps: int, *, channels_last: bool) -> dict[str, Any]:
    """Returns the seconds of each step of the authors' way and the process' peak memory."""
    import torch

    from benchmarks.torch_peer import Step

    torch.set_num_threads(THREADS)
    step = Step(
        depth=case.depth,
        widths=case.widths,
        small_stem=case.image_size < 64,
        image_size=case.image_size,
        batch_size=case.batch_size,
        bfloat16=case.bfloat16,
        channels_last=channels_last,
    )
    return _timed(step, steps)


def _timed(step: Any, steps: int) -> dict[str, Any]:
    seconds = machine.time_calls(step, warm_up=_WARM_UP, repeats=steps)
    return {"seconds": seconds, "peak_memory_bytes": machine.peak_memory_bytes()}


def choose_memory_format(name: str) -> tuple[str, dict[str, float]]:
    """Returns PyTorch's faster memory format for a case, and the median seconds a step of each."""
    formats = {}
    for memory_format in ("channels_last", "contiguous"):
        probe = machine.run_child("benchmarks.step", "--child", memory_format, name, "1", threads=THREADS)
        formats[memory_format] = machine.median(probe["seconds"])
    return min(formats, key=formats.__getitem__), formats


def compare(name: str, case: Case, *, rounds: int, steps: int) -> dict[str, Any]:
    """Returns both libraries' runs of one case, in turn, and the ratio of their medians."""
    memory_format, formats = choose_memory_format(name)
    runs: dict[str, list[dict[str, Any]]] = {"barlowtf": [], "pytorch": []}
    for _ in range(rounds):
        for library, kind in (("barlowtf", "ours"), ("pytorch", memory_format)):
            runs[library].append(
                machine.run_child("benchmarks.step", "--child", kind, name, str(steps), threads=THREADS)
            )
    summary = {library: _summarize(case, of_library) for library, of_library in runs.items()}
    ratio = summary["pytorch"]["median_seconds"] / summary["barlowtf"]["median_seconds"]
    return {
        "case": asdict(case),
        "speed_ratio": round(ratio, 3),
        "target_met": ratio >= case.target,
        "memory_ratio": round(summary["pytorch"]["peak_memory_gib"] / summary["barlowtf"]["peak_memory_gib"], 3),
        **summary,
        "pytorch_memory_format": memory_format,
        "pytorch_format_probe_seconds": formats,
    }


def compare_commits(name: str, before: Path, *, rounds: int, steps: int) -> dict[str, Any]:
    """Returns how many steps this code takes while the code of another checkout takes one, in processes in turn."""
    sides = {"before": before, "now": machine.ROOT}
    raw: dict[str, list[list[float]]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, root in sides.items():
            child = ("benchmarks.step", "--child", "ours", name, str(steps))
            raw[side].append(machine.run_child(*child, threads=THREADS, root=root)["seconds"])
    medians = {side: [machine.median(seconds) for seconds in of_side] for side, of_side in raw.items()}
    ratios = [then / now for then, now in zip(medians["before"], medians["now"], strict=True)]
    return {
        "speed_ratio": round(machine.median(ratios), 3),
        "speed_ratio_in_each_round": [round(ratio, 3) for ratio in ratios],
        "raw_seconds_per_process": raw,
    }


def _summarize(case: Case, runs: list[dict[str, Any]]) -> dict[str, Any]:
    seconds = machine.median([value for run in runs for value in run["seconds"]])
    return {
        "median_seconds": seconds,
        "images_per_second": round(case.batch_size / seconds, 3),
        "peak_memory_gib": round(max(run["peak_memory_bytes"] for run in runs) / 2**30, 3),
        "raw_seconds_per_process": [run["seconds"] for run in runs],
        "raw_peak_memory_bytes": [run["peak_memory_bytes"] for run in runs],
    }


def run_child(kind: str, name: str, steps: str) -> None:
    """Measures one library in this process and prints the result as JSON."""
    machine.pin(THREADS)
    case = CASES[name]
    if kind == "ours":
        result = measure_ours(case, int(steps))
    else:
        result = measure_torch(case, int(steps), channels_last=kind == "channels_last")
    sys.stdout.write(json.dumps(result) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=list(CASES), help="only this case; may be repeated")
    parser.add_argument("--quick", action="store_true", help="one round of three steps: a look, not a figure")
    parser.add_argument("--before", type=Path, help="checkout of another commit, to compare with instead of PyTorch")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run_child(*options.child)
        return
    machine.pin(THREADS)
    cases = {}
    for name in options.case or CASES:
        case = CASES[name]
        rounds, steps = (1, 3) if options.quick else (case.rounds, case.steps)
        if options.before is not None:
            cases[name] = compare_commits(name, options.before.resolve(), rounds=rounds, steps=steps)
            sys.stderr.write(f"{name}: {cases[name]['speed_ratio']}x {options.before}\n")
            continue
        cases[name] = compare(name, case, rounds=rounds, steps=steps)
        sys.stderr.write(f"{name}: {cases[name]['speed_ratio']}x PyTorch (asked: {case.target}x)\n")
    settings = {
        "threads": {"torch": THREADS, "tensorflow_intra_op": THREADS, "tensorflow_inter_op": THREADS},
        "warm_up_steps": _WARM_UP,
    }
    file = "step" if options.before is None else "step_before"
    path = machine.write_result(f"{file}-quick" if options.quick else file, {"settings": settings, "cases": cases})
    sys.stderr.write(f"{path}\n")


if __name__ == "__main__":
    main()
