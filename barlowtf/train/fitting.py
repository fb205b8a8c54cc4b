"""Trains a small model in a folder of its own, to its end or to a signal, and resumes there."""

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from rich.console import Console

from barlowtf import runs
from barlowtf.models import checkpoint
from barlowtf.train import callbacks, loop
from barlowtf.train.failures import closing
from barlowtf.train.interruption import Interruption

_LOG = logging.getLogger("barlowtf")
_SAVE_EVERY_MINUTES = 1.0
_RECORD_EVERY_STEPS = 20


def fit(
    model: keras.Model,
    batches: Callable[[int], Iterator[Any]],
    *,
    total_steps: int,
    steps_per_epoch: int,
    folder: Path,
    on_epoch_end: Callable[[int], Mapping[str, float]] | None = None,
    strategy: tf.distribute.Strategy,
    interruption: Interruption,
    console: Console,
) -> bool:
    """Trains a model to its last step, or until a signal comes; resumes what the folder holds.

    Args:
        model: Compiled, its optimizer built, made in the strategy's scope; `training_logs` returns a scalar "loss"
            and "first_nonfinite".
        batches: Given the number of finished steps, yields what each step takes from there on.
        total_steps: Optimizer steps in all.
        steps_per_epoch: Optimizer steps of one pass over the data.
        folder: Keeps checkpoints and metrics.jsonl; made when missing.
        on_epoch_end: Called with the number of the epoch, from 0, after its last step, unless the training stops there;
            what it returns is recorded. A training killed between an epoch's last step and this call makes up for it.
        strategy: Runs the training.
        interruption: Receives the signals.
        console: Where the progress bar is drawn.

    Returns:
        Whether the training is finished. If not, its state is saved, and the same call resumes it.

    Raises:
        CheckpointError: The folder holds the state of another model, or it cannot be written.
        TrainingError: The loss is not finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    start = checkpoint.restore_state(folder, checkpoint.training_state(model))
    if start:
        _LOG.info("Resuming after step %d of %d.", start, total_steps)
    runs.forget_after(folder / "metrics.jsonl", start)
    recorder = callbacks.Recorder()
    watchers: list[keras.callbacks.Callback] = [
        callbacks.StopOnRequest(interruption.requested),
        recorder,
        _StepRecords(recorder),
        *([] if on_epoch_end is None else [_EpochEnd(recorder, on_epoch_end)]),
        callbacks.JsonLines(folder / "metrics.jsonl", recorder),
        callbacks.Progress(recorder, total_steps=total_steps, console=console),
        callbacks.SaveCheckpoints(folder, every_steps=None, every_minutes=_SAVE_EVERY_MINUTES, keep=1),
    ]
    epoch_ended = start > 0 and start % steps_per_epoch == 0
    with closing(watchers), interruption.finishing_steps():
        finished = loop.train(
            model,
            loop.compile_step(model, strategy, xla=False),
            batches(start),
            start_step=start,
            total_steps=total_steps,
            steps_per_epoch=steps_per_epoch,
            callbacks=callbacks.in_order(watchers),
            repeat_epoch_end=epoch_ended and on_epoch_end is not None,
        )
    return finished == total_steps and not model.stop_training


class _StepRecords(callbacks.Monitor):
    """Records every twentieth step."""

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        if int(logs["step"]) % _RECORD_EVERY_STEPS == 0:
            self.recorder.add({name: float(value) for name, value in logs.items() if name not in ("step", "waited")})
            self.recorder.add({"learning_rate": float(tf.convert_to_tensor(self.model.optimizer.learning_rate))})


class _EpochEnd(callbacks.Monitor):
    """Records what a function measures after each epoch."""

    def __init__(self, recorder: callbacks.Recorder, measure: Callable[[int], Mapping[str, float]]) -> None:
        super().__init__(recorder)
        self._measure = measure

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self.model.stop_training:
            self.recorder.add(self._measure(epoch))
