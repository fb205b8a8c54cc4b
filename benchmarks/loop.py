"""The loop with real data against the bare step, and what watching a run costs.

ResNet-18 with the small stem at 32×32, batch 128, projector 2048³, the views of the recipe. One process; the variants
take turns, each for so many steps at a time:

- bare: the compiled training step on one batch of crops that stays in memory. It includes the device's part of the
  augmentation, as the loop's step does: what the loop adds is reading, decoding, cropping, and the loop itself.
- loop: `barlowtf.train.loop.train` on real data without callbacks. Three batches are taken out just before, so that
  nothing was prepared while the clock stood.
- watched: the same with everything that acts on each step: stop on non-finite values, metrics every so many steps,
  JSON lines, TensorBoard, a progress bar on a terminal.

What acts at intervals is timed alone, and its share of the running time is what the recipe's intervals make of it:

    kNN         seconds an image * (bank + queries) / (every_epochs * epoch_images * step_seconds / batch_size)
    collapse    seconds a measurement               / (every_epochs * epoch_images * step_seconds / batch_size)
    checkpoint  seconds a save                      / (60 * every_minutes), or / (every_steps * step_seconds)

with the bank, queries and intervals of --config and the epoch of --epoch-images. Total cost = watched over loop, less
one, plus these shares. The part of "watched" that its callbacks themselves take is timed too: it is far less noisy than
the difference of two runs.

Data: --data SPEC; default: scikit-learn's digits as RGB. Command: python -m benchmarks.loop [--data SPEC] [--quick]
"""

import argparse
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf
from rich.console import Console

from barlowtf import runs
from barlowtf.config import Recipe, load_recipe
from barlowtf.encoders.building import build_model
from barlowtf.experiment import training_data
from barlowtf.experiment.watching import make_callbacks
from barlowtf.train import callbacks, loop
from benchmarks import machine

THREADS = 2
SHARE_TARGET, COST_TARGET = 0.95, 0.02
_BATCH, _WIDTHS = 128, (2048, 2048, 2048)
# Endless for our purpose: the input, the schedule and the progress bar must not come to an end.
_EPOCHS = 100_000
_MEASURED_BANK, _MEASURED_QUERIES = 1000, 250


class Stopwatch(keras.callbacks.Callback):
    """Times the steps between the first one's begin and the end of training, and the callbacks that stand after it.

    Put it first in the list: a step's end is noted before, its next begin after, all other callbacks.
    """

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Starts anew."""
        self.started, self.seconds, self.callback_seconds = None, 0.0, 0.0
        self._step_ended = None

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Notes how long the other callbacks took since the step ended."""
        now = time.perf_counter()
        self.started = self.started or now
        if self._step_ended is not None:
            self.callback_seconds += now - self._step_ended

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Notes the end of a step."""
        self._step_ended = time.perf_counter()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Stops before the others' work at the end of a run, which comes once a run."""
        self.seconds = time.perf_counter() - self.started
        self.callback_seconds += time.perf_counter() - self._step_ended


class Bench:
    """One model, one run folder and one stream of batches that all variants share."""

    def __init__(self, recipe: Recipe, run: runs.RunFolder) -> None:
        """Makes the parts as a run makes them, and compiles the step."""
        self.recipe, self.run = recipe, run
        self.strategy = tf.distribute.get_strategy()
        self.source = training_data.open_training_data(recipe)
        self.steps_per_epoch = self.source.size // recipe.train.batch_size
        self.total_steps = recipe.train.epochs * self.steps_per_epoch
        self.model = build_model(recipe, self.steps_per_epoch)
        self.step = loop.compile_step(self.model, self.strategy, xla=False)
        self.batches = iter(training_data.make_batches(recipe, self.source, self.strategy, 0, self.total_steps))
        self.resident = next(self.batches)
        self.position = 1
        console = Console(file=io.StringIO(), force_terminal=True, width=100)
        stop = callbacks.StopOnRequest(lambda: False)
        made = make_callbacks(recipe, run, self.source, self.strategy, self.model, console, stop)
        monitors = (callbacks.CollapseMonitor, callbacks.KNNMonitor)
        self.monitors = [callback for callback in made if isinstance(callback, monitors)]
        self.watchers = [callback for callback in made if not isinstance(callback, monitors)]
        self.saver = next(callback for callback in made if isinstance(callback, callbacks.SaveCheckpoints))
        for callback in made:
            callback.set_model(self.model)

    def bare(self, steps: int) -> float:
        """Returns seconds a step of the compiled step alone."""
        started = time.perf_counter()
        for _ in range(steps):
            logs = self.step(self.resident)
        float(logs["loss"])
        return (time.perf_counter() - started) / steps

    def looped(self, steps: int, watchers: list[keras.callbacks.Callback]) -> tuple[float, float]:
        """Returns seconds a step of the loop, and seconds a step inside its callbacks."""
        for _ in range(3):
            next(self.batches)
        watch = Stopwatch()
        loop.train(
            self.model,
            self.step,
            self.batches,
            start_step=self.position,
            total_steps=self.position + steps,
            steps_per_epoch=self.steps_per_epoch,
            callbacks=[watch, *watchers],
        )
        for watcher in watchers:
            if hasattr(watcher, "close"):
                watcher.close()  # The progress bar gives the terminal back.
        self.position += steps
        return watch.seconds / steps, watch.callback_seconds / steps

    def save_seconds(self) -> float:
        """Returns the seconds of one checkpoint."""
        self.saver.on_train_begin({"step": self.position})
        self.position += 1  # A checkpoint of the same step would not be written again.
        return _seconds(lambda: self.saver.on_train_end({"step": self.position}))

    def monitor_seconds(self) -> Iterator[tuple[str, float]]:
        """Yields name and seconds of one measurement of each monitor."""
        for monitor in self.monitors:
            due = monitor.every_epochs - 1
            monitor.on_epoch_end(due, {"step": self.position})  # Traces its graphs.
            yield type(monitor).__name__, _seconds(lambda m=monitor, e=due: m.on_epoch_end(e, {"step": self.position}))


def _seconds(call: Any) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def make_recipe(config: str, source: str, precision: str) -> Recipe:
    """Returns the recipe of --config with the model, batch and data of this benchmark."""
    settings = {
        "data.source": source,
        "data.channels": 3,
        "augment.size": 32,
        "model.encoder": "resnet18",
        "model.stem": "small",
        "model.projector": list(_WIDTHS),
        "train.batch_size": _BATCH,
        "train.epochs": _EPOCHS,
        "train.precision": precision,
        "monitor.knn_bank": _MEASURED_BANK,
        "monitor.knn_queries": _MEASURED_QUERIES,
    }
    return load_recipe(config, [f"{key}={value}" for key, value in settings.items()])


def take_turns(bench: Bench, *, repeats: int, steps: int) -> dict[str, list[float]]:
    """Returns seconds a step of each variant, and inside the watchers, one value a repeat."""
    bench.bare(2)
    raw: dict[str, list[float]] = {"bare": [], "loop": [], "watched": [], "inside_watchers": []}
    bench.looped(2, bench.watchers)
    for _ in range(repeats):
        raw["bare"].append(bench.bare(steps))
        raw["loop"].append(bench.looped(steps, [])[0])
        watched, inside = bench.looped(steps, bench.watchers)
        raw["watched"].append(watched)
        raw["inside_watchers"].append(inside)
    return raw


def share_of_intervals(bench: Bench, config: Recipe, epoch_images: int, step_seconds: float) -> dict[str, Any]:
    """Returns what monitors and checkpoints take, seconds, and which share of the running time that is."""
    seconds = {"checkpoint": bench.save_seconds(), **dict(bench.monitor_seconds())}
    every, save = config.monitor, config.checkpoint
    epoch_seconds = epoch_images * step_seconds / _BATCH
    shares = {"checkpoint": 0.0}
    if save.every_minutes is not None:
        shares["checkpoint"] += seconds["checkpoint"] / (60 * save.every_minutes)
    if save.every_steps is not None:
        shares["checkpoint"] += seconds["checkpoint"] / (save.every_steps * step_seconds)
    if "CollapseMonitor" in seconds:
        shares["collapse"] = seconds["CollapseMonitor"] / (every.collapse_every_epochs * epoch_seconds)
    if "KNNMonitor" in seconds:
        measured = sum(len(labels) for _, labels in (bench.monitors[-1].bank, bench.monitors[-1].queries))
        images = min(every.knn_bank, epoch_images) + every.knn_queries
        knn_seconds = seconds["KNNMonitor"] * images / measured
        seconds["KNNMonitor_of_the_config"] = knn_seconds
        shares["knn"] = knn_seconds / (every.knn_every_epochs * epoch_seconds)
    return {"seconds": seconds, "shares": shares, "monitor": every.model_dump(), "checkpoint": save.model_dump()}


def summarize(raw: dict[str, list[float]], intervals: dict[str, Any]) -> dict[str, Any]:
    """Returns the two figures asked for, and what they are made of."""
    medians = {name: statistics.median(values) for name, values in raw.items()}
    loop_share = medians["bare"] / medians["loop"]
    per_step = medians["inside_watchers"] / medians["loop"]
    at_intervals = sum(intervals["shares"].values())
    return {
        "images_per_second": {name: round(_BATCH / medians[name], 2) for name in ("bare", "loop", "watched")},
        "loop_share_of_bare_step": round(loop_share, 4),
        "loop_target_met": loop_share >= SHARE_TARGET,
        "watching_cost_timed_inside": round(per_step + at_intervals, 5),
        "watching_cost_by_difference": round(medians["watched"] / medians["loop"] - 1 + at_intervals, 5),
        "watching_target_met": per_step + at_intervals <= COST_TARGET,
        "cost_of_each_step": round(per_step, 6),
        "cost_at_intervals": {name: round(share, 6) for name, share in intervals["shares"].items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", help="data set, as `barlowtf pretrain --data` takes it")
    parser.add_argument("--config", default="cifar10", help="recipe whose views and intervals are used")
    parser.add_argument("--epoch-images", type=int, default=50_000, help="images an epoch, for the intervals' shares")
    parser.add_argument("--precision", default="mixed_bfloat16", choices=("float32", "mixed_bfloat16"))
    parser.add_argument("--quick", action="store_true", help="two repeats of two steps: a look, not a figure")
    options = parser.parse_args()
    machine.pin(THREADS)
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    repeats, steps = (2, 2) if options.quick else (5, 5)
    with tempfile.TemporaryDirectory() as folder:
        recipe = make_recipe(options.config, options.data, options.precision)
        bench = Bench(recipe, runs.open_run(f"{folder}/run", recipe))
        raw = take_turns(bench, repeats=repeats, steps=steps)
        step_seconds = statistics.median(raw["loop"])
        intervals = share_of_intervals(bench, load_recipe(options.config), options.epoch_images, step_seconds)
    result = {
        "settings": {**vars(options), "threads": THREADS, "repeats": repeats, "steps_a_repeat": steps},
        "targets": {"loop_share_of_bare_step": SHARE_TARGET, "watching_cost": COST_TARGET},
        **summarize(raw, intervals),
        "peak_memory_gib": round(machine.peak_memory_bytes() / 2**30, 3),
        "intervals": intervals,
        "raw_seconds_a_step": raw,
    }
    sys.stderr.write(
        f"loop: {result['loop_share_of_bare_step']:.1%} of the bare step (asked: {SHARE_TARGET:.0%}); "
        f"watching: {result['watching_cost_timed_inside']:.2%} (asked: at most {COST_TARGET:.0%})\n"
    )
    path = machine.write_result("loop-quick" if options.quick else "loop", result)
    sys.stderr.write(f"{path}\n")


if __name__ == "__main__":
    main()
