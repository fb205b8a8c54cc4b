"""What a batch costs in memory when it goes through the encoder at once, and when it goes in micro-batches.

Whole training steps as a run takes them: uint8 crops and seeds in, augmentation on the device, ResNet-18 at 96 pixels,
projector 2048-2048-2048, loss, LARS; float32, two threads. Every measurement is a fresh process. Memory is the process'
peak less the peak before its first step, when model, optimizer and batch were there: what the step itself needs.

Command: python -m benchmarks.micro_batch [--quick]
"""

import argparse
import json
import sys
from typing import Any

from benchmarks import machine

THREADS = 2
ENCODER = "resnet18"
IMAGE_SIZE = 96
WIDTHS = (2048, 2048, 2048)
MICRO_BATCH = 32
BATCHES = (64, 128, 256, 512)
# Bounds the time of a measurement: so many images, but at least one step.
_TIMED_IMAGES = 256


def measure(batch_size: int, micro_batch: int | None, steps: int) -> dict[str, Any]:
    """Returns the seconds of each step after the first, the loss, and the bytes that steps add to the process."""
    import numpy as np
    import tensorflow as tf

    from barlowtf.augment import TwoViews
    from barlowtf.config.schema import Augment
    from barlowtf.models import BarlowTwins, make_encoder, make_projector
    from barlowtf.optim import LARS
    from barlowtf.train.loop import compile_step

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    shape = (IMAGE_SIZE, IMAGE_SIZE, 3)
    encoder = make_encoder(ENCODER, image_shape=shape)
    projector = make_projector(encoder.output_shape[-1], WIDTHS)
    model = BarlowTwins(encoder, projector, augment=TwoViews(Augment(size=IMAGE_SIZE), 3), micro_batch=micro_batch)
    model.compile(optimizer=LARS(0.2, 0.0048, weight_decay=1e-6), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    r = np.random.default_rng(0)
    crops = [tf.constant(r.integers(0, 256, (batch_size, *shape), dtype=np.uint8)) for _ in range(2)]
    batch = (*crops, tf.constant(r.integers(0, 2**31, (batch_size, 2), dtype=np.int32)))
    step = compile_step(model, tf.distribute.get_strategy(), xla=False)
    before = machine.peak_memory_bytes()
    loss = float(step(batch)["loss"])
    seconds = machine.time_calls(lambda: float(step(batch)["loss"]), warm_up=0, repeats=steps)
    added = machine.peak_memory_bytes() - before
    return {"seconds": seconds, "first_loss": loss, "before_bytes": before, "added_bytes": added}


def compare(batch_size: int, steps: int) -> dict[str, Any]:
    """Returns both ways of one batch."""
    ways = {}
    for name, micro_batch in (("whole", 0), ("micro_batches", MICRO_BATCH)):
        arguments = ("--child", str(batch_size), str(micro_batch), str(steps))
        raw = machine.run_child("benchmarks.micro_batch", *arguments, threads=THREADS)
        summary = {
            "added_memory_mib": round(raw["added_bytes"] / 2**20),
            "median_seconds": machine.median(raw["seconds"]),
        }
        sys.stderr.write(f"batch {batch_size}, {name}: {summary}\n")
        ways[name] = {**summary, "raw": raw}
    ratio = ways["whole"]["added_memory_mib"] / ways["micro_batches"]["added_memory_mib"]
    return {**ways, "memory_ratio": round(ratio, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smallest batch alone: a look, not a figure")
    parser.add_argument("--child", nargs=3, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        machine.pin(THREADS)
        batch_size, micro_batch, steps = options.child
        sys.stdout.write(json.dumps(measure(batch_size, micro_batch or None, steps)) + "\n")
        return
    batches = BATCHES[:1] if options.quick else BATCHES
    settings = {
        "encoder": ENCODER,
        "image_size": IMAGE_SIZE,
        "projector": WIDTHS,
        "micro_batch": MICRO_BATCH,
        "threads": THREADS,
    }
    steps = {size: max(1, _TIMED_IMAGES // size) for size in batches}
    result = {"settings": settings, "batches": {str(size): compare(size, steps[size]) for size in batches}}
    name = "micro_batch-quick" if options.quick else "micro_batch"
    sys.stderr.write(f"{machine.write_result(name, result)}\n")


if __name__ == "__main__":
    main()
