"""A linear classifier trained on an encoder, alone or with it: protocols linear, semi1, semi10 and the transfers."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import keras
import numpy as np
from pydantic import Field, model_validator

from barlowtf import augment, data
from barlowtf.atomic import write_file
from barlowtf.config.section import Count, NonNegative, Positive, Probability, Section
from barlowtf.encoders.extracting import center_views
from barlowtf.evaluation.classification import classification_outcome
from barlowtf.evaluation.contract import Outcome, Task
from barlowtf.evaluation.labeled_splits import LabeledSplits
from barlowtf.models import Probe, make_head
from barlowtf.models.saving import save_model
from barlowtf.optim import EpochSchedule, MomentumSGD, epoch_rates


class ProbeSettings(Section):
    """Settings of a linear classifier trained by SGD on an encoder that stays frozen or is trained with it."""

    epochs: Count = Field(100, description="passes over the labeled images")
    batch_size: Annotated[int, Field(ge=2)] = Field(256, description="global batch, images per step")
    learning_rate: Positive = Field(0.3, description="learning rate of the head")
    encoder_learning_rate: NonNegative = Field(0.0, description="learning rate of the encoder; 0: it stays frozen")
    schedule: Literal["cosine", "steps"] = Field("cosine", description="course of both rates, which change per epoch")
    drop_epochs: tuple[Count, ...] = Field((), description="steps: epochs after which the rates drop")
    drop_factor: Positive = Field(0.1, description="steps: factor on the rates at each drop")
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.9, description="momentum of SGD")
    weight_decay: NonNegative = Field(1e-6, description="weight decay, added to the gradient")
    area: tuple[Positive, Positive] = Field((0.08, 1.0), description="range of the crop's share of the image's area")
    aspect: tuple[Positive, Positive] = Field((0.75, 4 / 3), description="range of the crop's width / height")
    flip: Probability = Field(0.5, description="probability of a mirror image")
    report: Literal["best", "last"] = Field("best", description="epoch whose accuracy on the test images is reported")

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if self.aspect[0] > self.aspect[1]:
            raise ValueError(f"aspect is a range [low, high], received {list(self.aspect)}")
        if self.area[0] > self.area[1] or self.area[1] > 1.0:
            raise ValueError(f"area is a range [low, high] with high <= 1, received {list(self.area)}")
        if self.report == "best" and self.encoder_learning_rate > 0:
            raise ValueError('report = "best" is for a frozen encoder; set it to "last"')
        return self

    @property
    def frozen(self) -> bool:
        """Whether the encoder stays as it is, in inference mode."""
        return self.encoder_learning_rate == 0


# Few labels and small images: the published settings would take one step per epoch, and cut a digit to pieces.
SMALL: dict[str, Any] = {"epochs": 100, "area": (0.4, 1.0), "flip": 0.0}
# Of 8 x 8 pixels even 40 % show something else (benchmarks/results/digits_trials.json).
TINY: dict[str, Any] = {**SMALL, "area": (0.85, 1.0)}


def trains_encoder(settings: ProbeSettings) -> bool:
    """Returns whether the encoder is trained with the head."""
    return not settings.frozen


def measure_probe(task: Task[ProbeSettings]) -> Outcome | None:
    """Trains a head, with the encoder where the settings say so, and scores the test images.

    Leaves head.keras in the task's folder, and encoder.keras where the encoder was trained.

    Returns:
        The outcome; None where a signal came first. The state is saved then, and the same call resumes.
    """
    settings, splits = task.settings, task.splits
    steps_per_epoch = data.steps_per_pass(splits.train.size, settings.batch_size)
    with task.strategy.scope():
        model = _make_model(task, steps_per_epoch)
    score = _scoring(task, model)
    best = _BestHead(task.unfinished / "best.npz")

    def test(epoch: int) -> dict[str, float]:
        top1 = _accuracy(score(), splits)
        best.offer(model.head, epoch, top1)
        return {"test_top1": top1}

    total_steps = settings.epochs * steps_per_epoch
    finished = task.fit(
        model,
        lambda start: _batches(task, start, total_steps),
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
        folder=task.unfinished,
        on_epoch_end=test if settings.report == "best" else None,
    )
    if not finished:
        return None
    last, epoch = score(), settings.epochs
    logits = last
    if settings.report == "best":
        epoch = best.restore(model.head)
        logits = score()
    task.folder.mkdir(parents=True, exist_ok=True)
    save_model(model.head, task.folder / "head.keras")
    if not settings.frozen:
        save_model(task.encoder.model, task.folder / "encoder.keras")
    outcome = classification_outcome(logits, splits.test.labels, epoch=epoch)
    if settings.report == "best":
        outcome.scores["top1_last_epoch"] = _accuracy(last, splits)
    return outcome


def _make_model(task: Task[ProbeSettings], steps_per_epoch: int) -> Probe:
    settings, encoder = task.settings, task.encoder
    head = make_head(encoder.width, task.splits.class_count, seed=task.seed)
    model = Probe(encoder.model, head, frozen=settings.frozen, prepare=encoder.normalize)
    rates = epoch_rates(
        settings.learning_rate,
        epochs=settings.epochs,
        schedule=settings.schedule,
        drop_epochs=settings.drop_epochs,
        drop_factor=settings.drop_factor,
    )
    share = settings.encoder_learning_rate / settings.learning_rate
    optimizer = MomentumSGD(
        EpochSchedule(rates, steps_per_epoch),
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        factors={variable.path: share for variable in encoder.model.trainable_variables},
    )
    model.compile(optimizer=optimizer)
    optimizer.build(model.trainable_variables)
    return model


def _batches(task: Task[ProbeSettings], start_step: int, total_steps: int) -> Iterator[Any]:
    """Returns the batches of the steps from `start_step` on, cut into near-equal parts, one for each replica."""
    settings = task.settings
    height, width, channels = task.encoder.image_shape
    crop = augment.CropPlan(
        size=(height, width),
        area=settings.area,
        aspect=settings.aspect,
        interpolation="bilinear",
        flip=settings.flip,
    )
    plan = data.BatchPlan(
        batch_size=settings.batch_size,
        channels=channels,
        seed=task.seed,
        crop=crop,
        start_step=start_step,
        total_steps=total_steps,
        rendering=task.encoder.rendering,
    )
    return data.labeled_batches(task.splits.train, plan, strategy=task.strategy)


def _scoring(task: Task[ProbeSettings], model: Probe) -> Callable[[], np.ndarray]:
    """Returns a function that gives the logits of the test images, float32 [Q, K], in inference mode."""
    encoder, test = task.encoder, task.splits.test
    if task.settings.frozen:
        # The features of a frozen encoder stay the same: every epoch's test is one product of matrices.
        features = task.features(test)
        return lambda: np.asarray(model.head(features, training=False), np.float32)
    views = center_views(encoder, test.source, test.ids)
    return lambda: np.asarray(model.head(encoder.features_of(views, test.size), training=False), np.float32)


def _accuracy(logits: np.ndarray, splits: LabeledSplits) -> float:
    return float(np.mean(logits.argmax(axis=1) == splits.test.labels))


class _BestHead:
    """Keeps the head of the epoch with the best accuracy, the earliest of equals, in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def offer(self, head: keras.Model, epoch: int, top1: float) -> None:
        """Keeps the head where it is better than the one before."""
        if epoch == 0 or top1 > self._read()["top1"]:
            kernel, bias = head.get_weights()
            content = io.BytesIO()
            np.savez(content, epoch=epoch + 1, top1=top1, kernel=kernel, bias=bias)
            # One file, so that a kill leaves the old head or the new one.
            write_file(self._file, content.getvalue())

    def restore(self, head: keras.Model) -> int:
        """Gives the head its best weights; returns their epoch, from 1."""
        best = self._read()
        head.set_weights([best["kernel"], best["bias"]])
        return int(best["epoch"])

    def _read(self) -> dict[str, np.ndarray]:
        with np.load(self._file) as content:
            return dict(content)
