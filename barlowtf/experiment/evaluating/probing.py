"""Trains a head on an encoder, or both, and scores the test images: protocols linear, semi1, semi10 and transfers."""

import functools
import io
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console

from barlowtf import augment, data, runs
from barlowtf.atomic import write_file
from barlowtf.config.protocols import Probe as Settings
from barlowtf.data import Labeled
from barlowtf.encoders.encoder import Encoder
from barlowtf.models import Probe, checkpoint, make_head
from barlowtf.models.saving import save_model
from barlowtf.optim import EpochSchedule, MomentumSGD, epoch_rates
from barlowtf.train import callbacks, loop
from barlowtf.train.interruption import Interruption

_LOG = logging.getLogger("barlowtf")
_SAVE_EVERY_MINUTES = 1.0
_RECORD_EVERY_STEPS = 20


@dataclass(frozen=True)
class Probed:
    """A finished training.

    Attributes:
        logits: Of the test images, float32 [Q, K], at the reported epoch.
        last_logits: At the last epoch.
        epoch: The reported epoch, from 1.
    """

    logits: np.ndarray
    last_logits: np.ndarray
    epoch: int


@dataclass(frozen=True)
class Probing:
    """What one training needs.

    Attributes:
        encoder: Its weights are those to begin with; they are changed where `settings` fine-tune.
        train: Images to learn from.
        test_views: Batches of center views of the test images, uint8 [n, S, S, C].
        test_features: Their features, float32 [Q, d], where the encoder stays frozen; else None.
        test_labels: int64 [Q].
        class_count: K.
        settings: Of the protocol.
        seed: Of the head, the order and the crops.
        work: Folder for the unfinished training; a training that finds its own state there goes on.
        result: Folder for head.keras, and encoder.keras where it is fine-tuned.
    """

    encoder: Encoder
    train: Labeled
    test_views: tf.data.Dataset
    test_features: np.ndarray | None
    test_labels: np.ndarray
    class_count: int
    settings: Settings
    seed: int
    work: Path
    result: Path

    @property
    def frozen(self) -> bool:
        """Whether the encoder stays as it is."""
        return self.settings.encoder_learning_rate == 0

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one pass."""
        return data.steps_per_pass(self.train.size, self.settings.batch_size)


def train_probe(
    probing: Probing, *, strategy: tf.distribute.Strategy, interruption: Interruption, console: Console
) -> Probed | None:
    """Trains to the end, or to a signal; resumes what `probing.work` holds.

    Returns:
        What was measured; None where a signal came first. All is saved then, and the same call goes on.
    """
    settings = probing.settings
    probing.work.mkdir(parents=True, exist_ok=True)
    with strategy.scope():
        model = _make_model(probing)
    total = settings.epochs * probing.steps_per_epoch
    start = checkpoint.restore_state(probing.work, checkpoint.training_state(model))
    if start:
        _LOG.info("Resuming after step %d of %d.", start, total)
    runs.forget_after(probing.work / "metrics.jsonl", start)
    score = functools.partial(_logits, probing, model)
    recorder = callbacks.Recorder()
    keep_best = _KeepBest(recorder, score, probing.test_labels, probing.work) if settings.report == "best" else None
    watchers: list[keras.callbacks.Callback] = [
        callbacks.StopOnRequest(interruption.requested),
        recorder,
        _StepRecords(recorder),
        *([] if keep_best is None else [keep_best]),
        callbacks.JsonLines(probing.work / "metrics.jsonl", recorder),
        callbacks.Progress(recorder, total_steps=total, console=console),
        callbacks.SaveCheckpoints(probing.work, every_steps=None, every_minutes=_SAVE_EVERY_MINUTES, keep=1),
    ]
    ended = [] if start == 0 or start % probing.steps_per_epoch else [start]
    try:
        with interruption.finishing_steps():
            finished = loop.train(
                model,
                loop.compile_step(model, strategy, xla=False),
                _batches(probing, strategy, start, total),
                start_step=start,
                total_steps=total,
                steps_per_epoch=probing.steps_per_epoch,
                callbacks=callbacks.in_order(watchers),
                # Killed between an epoch's last step and its test: the test is made up for.
                repeat_epoch_end=bool(ended) and keep_best is not None,
            )
    finally:
        for watcher in watchers:
            if hasattr(watcher, "close"):
                watcher.close()
    if finished < total or model.stop_training:
        return None
    last = score()
    if keep_best is None:
        logits, epoch = last, settings.epochs
    else:
        epoch = keep_best.restore(model.head)
        logits = score()
    probing.result.mkdir(parents=True, exist_ok=True)
    save_model(model.head, probing.result / "head.keras")
    if not probing.frozen:
        save_model(probing.encoder.model, probing.result / "encoder.keras")
    return Probed(logits, last, epoch)


def _make_model(probing: Probing) -> Probe:
    settings = probing.settings
    encoder = probing.encoder.model
    head = make_head(probing.encoder.width, probing.class_count, seed=probing.seed)
    model = Probe(encoder, head, frozen=probing.frozen, prepare=probing.encoder.normalize)
    rates = epoch_rates(
        settings.learning_rate,
        epochs=settings.epochs,
        schedule=settings.schedule,
        drop_epochs=settings.drop_epochs,
        drop_factor=settings.drop_factor,
    )
    share = settings.encoder_learning_rate / settings.learning_rate
    optimizer = MomentumSGD(
        EpochSchedule(rates, probing.steps_per_epoch),
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        factors={variable.path: share for variable in encoder.trainable_variables},
    )
    model.compile(optimizer=optimizer)
    optimizer.build(model.trainable_variables)
    return model


def _batches(probing: Probing, strategy: tf.distribute.Strategy, start: int, total: int) -> Iterator[Any]:
    """Returns the batches of the steps from `start` on, cut into near-equal parts, one for each replica."""
    settings, encoder = probing.settings, probing.encoder
    crop = augment.CropPlan(
        size=encoder.image_shape[:2],
        area=settings.area,
        aspect=settings.aspect,
        interpolation="bilinear",
        flip=settings.flip,
    )
    plan = data.BatchPlan(
        batch_size=settings.batch_size,
        channels=encoder.image_shape[2],
        seed=probing.seed,
        crop=crop,
        start_step=start,
        total_steps=total,
    )
    return data.labeled_batches(probing.train, plan, strategy=strategy)


def _logits(probing: Probing, model: Probe) -> np.ndarray:
    """Returns the logits of the test images, float32 [Q, K], in inference mode."""
    features = probing.test_features
    if features is None:
        features = probing.encoder.features_of(probing.test_views, len(probing.test_labels))
    return np.asarray(model.head(features, training=False), np.float32)


class _StepRecords(callbacks.Monitor):
    """Records every twentieth step."""

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        if int(logs["step"]) % _RECORD_EVERY_STEPS == 0:
            self.recorder.add({name: float(value) for name, value in logs.items() if name != "step"})
            self.recorder.add({"learning_rate": float(tf.convert_to_tensor(self.model.optimizer.learning_rate))})


class _KeepBest(callbacks.Monitor):
    """Tests after each epoch and keeps the head of the best one, the earliest of equals."""

    def __init__(
        self, recorder: callbacks.Recorder, score: Callable[[], np.ndarray], labels: np.ndarray, work: Path
    ) -> None:
        super().__init__(recorder)
        self._score, self._labels = score, labels
        self._file = work / "best.npz"

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.model.stop_training:
            return
        top1 = float(np.mean(self._score().argmax(axis=1) == self._labels))
        self.recorder.add({"test_top1": top1})
        if epoch == 0 or top1 > self._best()["top1"]:
            kernel, bias = self.model.head.get_weights()
            content = io.BytesIO()
            np.savez(content, epoch=epoch + 1, top1=top1, kernel=kernel, bias=bias)
            # One file, so that a kill finds the old head or the new one.
            write_file(self._file, content.getvalue())

    def restore(self, head: keras.Model) -> int:
        """Gives the head its best weights; returns their epoch, from 1."""
        best = self._best()
        head.set_weights([best["kernel"], best["bias"]])
        return int(best["epoch"])

    def _best(self) -> dict[str, np.ndarray]:
        with np.load(self._file) as content:
            return dict(content)
