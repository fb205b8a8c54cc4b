"""The same steps by TensorFlow itself on a machine with a GPU: XLA on and off, and mirrored on two cards.

Every way is a process of its own: a card's peak memory is then that way's, and one that runs out of memory does not end
the others.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import tensorflow as tf

from benchmarks import machine
from benchmarks.gpu import library
from benchmarks.gpu.cases import CASES, StepCase, scaled_down

WAYS = ("xla", "no-xla", "mirrored")
_WARM_UP, _CALLS = 3, 20
# From this compute capability on the stock wheels abort under XLA (tensorflow issue 111958).
_XLA_ABORTS_FROM = (12, 0)


def measure_all(names: list[str], *, allow_cpu: bool, small: bool) -> dict[str, Any]:
    """Returns every whole step in every way that this machine has.

    Args:
        names: Of cases; those of other kinds are left out.
        allow_cpu: Whether a CPU will do, for a rehearsal.
        small: Whether the cases are scaled down.

    Raises:
        RuntimeError: There is no GPU; the message is one line.
    """
    cards = tf.config.list_physical_devices("GPU")
    if not cards and not allow_cpu:
        raise RuntimeError("TensorFlow finds no GPU. Expected one: install barlowtf[gpu] on a machine that has a card.")
    details = [tf.config.experimental.get_device_details(card) for card in cards]
    skipped = {"mirrored": "There are not two cards."} if len(cards) < 2 else {}
    if any(detail.get("compute_capability", (0, 0)) >= _XLA_ABORTS_FROM for detail in details):
        skipped["xla"] = "TensorFlow's stock wheels abort under XLA on this card (tensorflow issue 111958)."
    cases = {name: CASES[name] for name in names if isinstance(CASES[name], StepCase)}
    measured: dict[str, Any] = {}
    for name, case in cases.items():
        case = scaled_down(case) if small else case
        ways: dict[str, Any] = {}
        for way in WAYS:
            ways[way] = {"skipped": skipped[way]} if way in skipped else _in_a_process(name, way, small)
            sys.stderr.write(f"{name:24} {way:10} {ways[way]}\n")
        measured[name] = {"case": asdict(case), "ways": ways}
    return {"cards": [str(detail.get("device_name")) for detail in details], "cases": measured}


def measure(name: str, way: str, *, small: bool) -> dict[str, Any]:
    """Returns the seconds of the steps of one case in one way, and the peak memory of the first card, bytes."""
    case = scaled_down(CASES[name]) if small else CASES[name]
    cards = tf.config.list_logical_devices("GPU")
    if way == "mirrored":
        pair = (cards or tf.config.list_logical_devices("CPU"))[:2]
        strategy: tf.distribute.Strategy = tf.distribute.MirroredStrategy([device.name for device in pair])
    else:
        strategy = tf.distribute.get_strategy()
    with strategy.scope():
        model = library.step_model(case, augmented=True)
    batch = _batch(case, strategy)
    step = _compiled_step(model, strategy, xla=way == "xla")
    seconds, loss = [], float("nan")
    for number in range(_WARM_UP + _CALLS):
        started = time.perf_counter()
        loss = float(strategy.experimental_local_results(step(batch))[0])
        if number >= _WARM_UP:
            seconds.append(time.perf_counter() - started)
    peak = tf.config.experimental.get_memory_info("GPU:0")["peak"] if cards else None
    median = statistics.median(seconds)
    return {
        "median_ms": round(median * 1e3, 4),
        "images_per_second": round(case.batch_size / median, 1),
        "peak_gib": None if peak is None else round(peak / 2**30, 3),
        "last_loss": loss,
    }


def _compiled_step(model: Any, strategy: tf.distribute.Strategy, *, xla: bool) -> Callable[[Any], Any]:
    # Without a strategy's run: a compiled step cannot hold one.
    if strategy.num_replicas_in_sync == 1:
        return tf.function(lambda batch: model.training_logs(batch)["loss"], jit_compile=xla)
    return tf.function(lambda batch: strategy.run(lambda share: model.training_logs(share)["loss"], args=(batch,)))


def _batch(case: StepCase, strategy: tf.distribute.Strategy) -> Any:
    """Returns crops of both views and seeds, each replica's share of the global batch."""
    generator = tf.random.Generator.from_seed(0)
    share = case.batch_size // strategy.num_replicas_in_sync
    shape = (share, case.image_size, case.image_size, library.CHANNELS)

    def make(_: tf.distribute.ReplicaContext | None = None) -> tuple[tf.Tensor, ...]:
        crops = [tf.cast(generator.uniform(shape, 0, 256, tf.int32), tf.uint8) for _ in range(2)]
        return (*crops, generator.uniform((share, 2), 0, 2**31 - 1, tf.int32))

    return make() if strategy.num_replicas_in_sync == 1 else strategy.experimental_distribute_values_from_function(make)


def _in_a_process(name: str, way: str, small: bool) -> dict[str, Any]:
    """Returns what `measure` does in a fresh process, or the reason why it failed, in one line."""
    arguments = ["tensorflow", "--child", name, way, *(["--small"] if small else [])]
    try:
        return machine.run_child(
            "benchmarks.gpu", *arguments, threads=2, environment={"CUDA_VISIBLE_DEVICES": _cards()}
        )
    except RuntimeError as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        return {"failed": lines[-1][:300]}


def _cards() -> str:
    """Returns the numbers of the cards for a child process, "-1" where there are none."""
    return ",".join(str(number) for number in range(len(tf.config.list_physical_devices("GPU")))) or "-1"


def print_child(name: str, way: str, *, small: bool) -> None:
    """Measures and prints the result as JSON in the last line."""
    sys.stdout.write(json.dumps(measure(name, way, small=small)) + "\n")
