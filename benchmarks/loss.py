"""The loss in its two forms: time and memory of value and gradient, float32, two threads.

What is compared, each measurement in a fresh process, taking turns:

- gram: `barlow_twins_loss(form="gram")`, two N×N matrices, gradient by hand.
- correlation: `form="correlation"`, one D×D matrix, gradient by hand. The asked ratios are against this one.
- autodiff: the D×D form as one writes it down, differentiated by TensorFlow.

Memory is what the loss adds: the process' peak while it runs, less what the process held just before, embeddings
included. It holds the two gradients, 2 N D numbers, in each case.

Command: python -m benchmarks.loss [--quick]
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import machine

THREADS = 2
SIZES = ((256, 8192), (2048, 8192))
FORMS = ("gram", "correlation", "autodiff")
# N, D -> at least so many times faster and smaller, gram against correlation.
TARGETS: dict[tuple[int, int], dict[str, float]] = {
    (256, 8192): {"speed": 12.0, "memory": 10.0},
    (2048, 8192): {"speed": 1.5},
}


def measure(form: str, examples: int, dimensions: int, *, warm_up: int, repeats: int) -> dict[str, Any]:
    """Returns seconds of each call, extra bytes and the loss itself, of one form in this process."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    total = _loss(form)

    @tf.function(reduce_retracing=True)
    def value_and_gradient(z_a: tf.Tensor, z_b: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            tape.watch([z_a, z_b])
            value = total(z_a, z_b)
        return value, tape.gradient(value, [z_a, z_b])

    # A small call first: libraries, kernels and threads are not the loss' memory.
    value_and_gradient.get_concrete_function(*[tf.TensorSpec([examples, dimensions])] * 2)
    tf.function(value_and_gradient.python_function)(*tf.unstack(tf.random.stateless_normal([2, 8, 16], seed=[1, 2])))
    z_a, z_b = (tf.random.stateless_normal([examples, dimensions], seed=[0, view]) for view in range(2))
    _forget_peak()
    before = _resident_bytes()
    values: list[float] = []

    def call() -> None:
        value, gradients = value_and_gradient(z_a, z_b)
        values.append(float(value))
        # Reading one number waits for the gradient.
        for gradient in gradients:
            gradient[0, 0].numpy()

    seconds = machine.time_calls(call, warm_up=warm_up, repeats=repeats)
    return {"seconds": seconds, "extra_bytes": machine.peak_memory_bytes() - before, "loss": values[0]}


def _loss(form: str) -> Callable[[Any, Any], Any]:
    """Returns the function of two views whose value and gradient are measured."""
    import tensorflow as tf

    from barlowtf.losses import barlow_twins_loss

    def autodiff(z_a: tf.Tensor, z_b: tf.Tensor) -> tf.Tensor:
        views = []
        for z in (z_a, z_b):
            mean, variance = tf.nn.moments(z, axes=[0])
            views.append((z - mean) * tf.math.rsqrt(variance + 1e-5))
        c = tf.matmul(views[0], views[1], transpose_a=True) / tf.cast(tf.shape(z_a)[0], tf.float32)
        diagonal = tf.linalg.diag_part(c)
        off_diagonal = tf.reduce_sum(tf.square(c)) - tf.reduce_sum(tf.square(diagonal))
        return tf.reduce_sum(tf.square(1.0 - diagonal)) + 0.0051 * off_diagonal

    if form == "autodiff":
        return autodiff
    return lambda z_a, z_b: barlow_twins_loss(z_a, z_b, form=form).total


def _forget_peak() -> None:
    """Sets this process' recorded peak memory to what it holds now, so that starting up does not hide the loss."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def compare(examples: int, dimensions: int, *, rounds: int, repeats: int) -> dict[str, Any]:
    """Returns times and memory of all forms at one size, in turn, and the ratios of their medians."""
    runs: dict[str, list[dict[str, Any]]] = {form: [] for form in FORMS}
    for _ in range(rounds):
        for form, of_form in runs.items():
            child = ["--child", form, str(examples), str(dimensions), str(repeats)]
            of_form.append(machine.run_child("benchmarks.loss", *child, threads=THREADS))
    seconds = {form: machine.median([s for run in of_form for s in run["seconds"]]) for form, of_form in runs.items()}
    memory = {form: machine.median([run["extra_bytes"] for run in of_form]) for form, of_form in runs.items()}
    ratios = {
        "speed": round(seconds["correlation"] / seconds["gram"], 2),
        "memory": round(memory["correlation"] / memory["gram"], 2),
    }
    target = TARGETS[examples, dimensions]
    return {
        "examples": examples,
        "dimensions": dimensions,
        "ratio_correlation_to_gram": ratios,
        "ratio_autodiff_to_gram": {
            "speed": round(seconds["autodiff"] / seconds["gram"], 2),
            "memory": round(memory["autodiff"] / memory["gram"], 2),
        },
        "target": target,
        "target_met": all(ratios[name] >= least for name, least in target.items()),
        "median_seconds": seconds,
        "median_extra_bytes": memory,
        "loss": {form: of_form[0]["loss"] for form, of_form in runs.items()},
        "raw_seconds": {form: [run["seconds"] for run in of_form] for form, of_form in runs.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of the smaller size: a look, not a figure")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        form, *numbers = options.child
        examples, dimensions, repeats = map(int, numbers)
        machine.pin(THREADS)
        result = measure(form, examples, dimensions, warm_up=2, repeats=repeats)
        sys.stdout.write(json.dumps(result) + "\n")
        return
    sizes = SIZES[:1] if options.quick else SIZES
    rounds, repeats = (1, 5) if options.quick else (2, 4)
    results = [compare(examples, dimensions, rounds=rounds, repeats=repeats) for examples, dimensions in sizes]
    for result in results:
        _print_table(result)
    path = machine.write_result("loss-quick" if options.quick else "loss", {"threads": THREADS, "sizes": results})
    sys.stderr.write(f"{path}\n")


def _print_table(result: dict[str, Any]) -> None:
    """Writes one size's medians and ratios to stderr."""
    sys.stderr.write(f"N = {result['examples']}, D = {result['dimensions']}\n")
    for form in FORMS:
        milliseconds = 1000 * result["median_seconds"][form]
        mebibytes = result["median_extra_bytes"][form] / 2**20
        sys.stderr.write(f"  {form:12} {milliseconds:9.1f} ms  {mebibytes:8.1f} MiB\n")
    ratios = result["ratio_correlation_to_gram"]
    sys.stderr.write(f"  gram: {ratios['speed']}x faster, {ratios['memory']}x smaller (asked: {result['target']})\n")


if __name__ == "__main__":
    main()
