"""The training run: as many epochs as fit, resumable, measured at the end by kNN and a linear classifier."""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from . import order, probe, schedule, xla
from .deadline import Deadline
from .errors import MachineError
from .images import Split, read_split
from .parts import write_parts
from .traced import TracedStep

# Arguments of the traced step before its variables.
_IMAGES, _IDS, _EPOCH = range(3)
# Calls that are timed before the number of epochs is chosen, after as many that are not.
_TRIAL_STEPS = 20
# Kept for features, kNN and classifier, seconds; and the share of the rest that is planned for, because steps scatter.
_EVALUATION_SECONDS, _PLANNED_SHARE = 45.0, 0.97
# The loss is read every so many steps: reading it waits for the device.
_READ_EVERY = 50


class TrainingRun:
    """One training run on the device.

    Attributes:
        epochs: Length of the run.
        step: Steps done.
        history: [epoch, loss] of the last step read in each epoch.
    """

    def __init__(self, folder: Path, case: dict[str, Any], device: Any, split: Split, state: Path) -> None:
        """Compiles the step.

        Args:
            folder: Of the traced cases.
            case: Entry of cases.json.
            device: From `xla.open_device`.
            split: Training images.
            state: Where an unfinished run waits.
        """
        self._case, self._split, self._state = case, split, state
        self._traced = TracedStep(folder, case["programs"]["step"], device, cache=str(folder / "cache"))
        expected = tuple(self._traced.facts["inputs"][_IMAGES]["shape"])
        if split.images.shape != expected:
            raise MachineError(f"Invalid data.npz: received images {split.images.shape}, expected {expected}.")
        self._loss = self._traced.facts["outputs"].index("loss")
        self.compile_seconds = self._traced.program.compile_seconds
        self.steps_per_epoch = len(split.images) // case["batch_size"]
        self.epochs, self.step = 0, 0
        self.history: list[list[float]] = []
        self._rates: dict[int, dict[str, Any]] = {}

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.epochs * self.steps_per_epoch

    def step_seconds(self) -> float:
        """Returns the time of a step, from steps that are then forgotten."""
        self._begin(epochs=1)
        for number in range(2 * _TRIAL_STEPS):
            if number == _TRIAL_STEPS:
                self._wait()
                started = time.perf_counter()
            self._take_step(number % self.steps_per_epoch)
        self._wait()
        return (time.perf_counter() - started) / _TRIAL_STEPS

    def start(self, epochs: int) -> None:
        """Begins a run of so many epochs from the first values."""
        self._begin(epochs)
        self.step, self.history = 0, []

    def resume(self) -> bool:
        """Goes on where the saved state ends; returns whether there is one."""
        if not self._state.exists():
            return False
        with np.load(self._state) as held:
            first = self._traced.input_count
            values = {first + i: held[f"v{i:04d}"] for i in range(len(self._traced.facts["variables"]))}
            self._begin(int(held["epochs"]), values)
            self.step, self.history = int(held["step"]), held["history"].tolist()
        return True

    def save(self) -> None:
        """Writes the state: aside first, then renamed."""
        first = self._traced.input_count
        values = {f"v{i:04d}": self._traced.value(first + i) for i in range(len(self._traced.facts["variables"]))}
        aside = self._state.with_name(f".{self._state.name}")
        with aside.open("wb") as file:
            np.savez(file, epochs=self.epochs, step=self.step, history=np.array(self.history).reshape(-1, 2), **values)
        os.replace(aside, self._state)

    def advance(self, *, until: int, save_every: float, time_left: Callable[[], float]) -> None:
        """Takes steps up to number `until`, or until no time is left, and saves now and then.

        Raises:
            MachineError: The loss is not finite.
        """
        saved = time.monotonic()
        while self.step < until and time_left() > 0:
            loss = self._take_step(self.step)
            self.step += 1
            if self.step % self.steps_per_epoch == 0 or self.step % _READ_EVERY == 0:
                self._record(float(np.asarray(loss)))
            if time.monotonic() - saved > save_every:
                self.save()
                saved = time.monotonic()

    def value(self, argument: int) -> np.ndarray:
        """Returns the present value of an argument of the step."""
        return self._traced.value(argument)

    def _begin(self, epochs: int, values: dict[int, np.ndarray] | None = None) -> None:
        self.epochs = epochs
        self._traced.reset({_IMAGES: self._split.images, **(values or {})})
        self._rates = {
            int(argument): schedule.fitted(settings, epochs=epochs, steps_per_epoch=self.steps_per_epoch)
            for argument, settings in self._case["rates"].items()
        }

    def _take_step(self, step: int) -> Any:
        epoch, ids = order.step_ids(
            step, size=len(self._split.images), batch_size=self._case["batch_size"], seed=self._case["seed"]
        )
        self._traced.set(_IDS, ids)
        self._traced.set(_EPOCH, np.asarray(epoch, np.int64))
        for argument, settings in self._rates.items():
            self._traced.set(argument, schedule.rate(settings, step))
        return self._traced()[self._loss]

    def _wait(self) -> None:
        self._traced.value(self._traced.input_count)

    def _record(self, loss: float) -> None:
        if not np.isfinite(loss):
            raise MachineError(f"The loss is {loss} at step {self.step}: the run has diverged.")
        epoch = (self.step - 1) // self.steps_per_epoch
        if self.history and self.history[-1][0] == epoch:
            self.history.pop()
        self.history.append([epoch, loss])
        if self.step % self.steps_per_epoch == 0:
            sys.stderr.write(f"epoch {epoch + 1} of {self.epochs}  loss {loss:.4g}\n")


def train(
    folder: Path,
    case: dict[str, Any],
    deadline: Deadline,
    options: argparse.Namespace,
    save: Callable[[dict[str, Any]], None],
) -> None:
    """Trains, or goes on with an unfinished run; then measures the features and writes the encoder's weights.

    Args:
        folder: Of the traced cases.
        case: Entry of cases.json.
        deadline: Of the whole command, evaluation included.
        options: Of the command line: epochs, state, save_every, stop_after, part_size, out, allow_cpu.
        save: Takes the result.

    Raises:
        MachineError: The machine lacks something, or the run diverges.
    """
    device = xla.open_device(allow_cpu=options.allow_cpu)
    workers = os.cpu_count() or 1
    train_split, test_split = (read_split(folder, name, workers=workers) for name in ("train", "test"))
    decoded = deadline.elapsed
    run = TrainingRun(folder, case, device, train_split, options.state)
    features = TracedStep(folder, case["programs"]["features"], device, cache=str(folder / "cache"))
    result: dict[str, Any] = {"status": "unfinished", "device": xla.describe(device)}
    result |= {"seconds": {"decode": decoded, "compile": run.compile_seconds}}
    if not run.resume():
        seconds = run.step_seconds()
        result["step_seconds"] = seconds
        planned = _PLANNED_SHARE * (deadline.left - _EVALUATION_SECONDS) / (seconds * run.steps_per_epoch)
        run.start(options.epochs or max(1, int(planned)))
        sys.stderr.write(f"{seconds * 1e3:.2f} ms per step, {run.epochs} epochs of {run.steps_per_epoch} steps\n")
    first_step, started = run.step, time.monotonic()
    until = run.total_steps if options.stop_after is None else min(run.total_steps, options.stop_after)
    run.advance(until=until, save_every=options.save_every, time_left=lambda: deadline.left - _EVALUATION_SECONDS / 2)
    trained = time.monotonic() - started
    result["seconds"]["training"] = trained
    result |= {
        "epochs": run.epochs,
        "steps": run.step,
        "total_steps": run.total_steps,
        "images_per_second": (run.step - first_step) * case["batch_size"] / max(trained, 1e-9),
        "peak_bytes": xla.memory(device).get("peak_bytes_in_use"),
        "history": run.history,
    }
    if run.step < run.total_steps:
        run.save()
        save(result)
        sys.stderr.write(f"step {run.step} of {run.total_steps}: run the same command again to go on\n")
        return
    result |= _evaluate(run, features, case, train_split, test_split)
    encoder = [run.value(argument) for argument in case["encoder"]]
    result["encoder"] = write_parts(options.out, "encoder", encoder, options.part_size * 2**20)
    result["status"] = "finished"
    save(result)
    options.state.unlink(missing_ok=True)


def _evaluate(
    run: TrainingRun, traced: TracedStep, case: dict[str, Any], train_split: Split, test_split: Split
) -> dict[str, Any]:
    started = time.monotonic()
    traced.reset({1 + i: run.value(argument) for i, argument in enumerate(case["feature_arguments"])})
    bank, queries = (_features(traced, split.images) for split in (train_split, test_split))
    labels = train_split.labels, test_split.labels
    settings = {name: case["case"][name] for name in ("neighbors", "temperature")}
    return {
        "knn": {**settings, "accuracy": knn_of(bank, queries, labels, settings)},
        "linear": {"accuracy": probe.linear_accuracy(bank, labels[0], queries, labels[1])},
        "evaluation_seconds": time.monotonic() - started,
    }


def knn_of(
    bank: np.ndarray, queries: np.ndarray, labels: tuple[np.ndarray, np.ndarray], settings: dict[str, Any]
) -> float:
    """Returns kNN's accuracy with the settings of the case."""
    return probe.knn_accuracy(bank, labels[0], queries, labels[1], **settings)


def _features(traced: TracedStep, images: np.ndarray) -> np.ndarray:
    """Returns the features of images, float32 [M, d]; the last batch is filled up with zeros and cut."""
    batch = traced.facts["inputs"][0]["shape"][0]
    place = traced.facts["outputs"].index("features")
    found = []
    for start in range(0, len(images), batch):
        some = images[start : start + batch]
        filled = np.zeros((batch, *images.shape[1:]), np.uint8)
        filled[: len(some)] = some
        traced.set(0, filled)
        found.append(np.asarray(traced()[place])[: len(some)])
    return np.concatenate(found)
