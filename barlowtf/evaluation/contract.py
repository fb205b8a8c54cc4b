"""The door for protocols: what a protocol is, what it is given for one measurement, and what it returns.

A protocol is one `Protocol` in a file of its own. `barlowtf evaluate --protocol my_protocol.py:NAME` takes one from
outside the package.
"""

import abc
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar
from typing import Protocol as Interface

import keras
import numpy as np
import tensorflow as tf

from barlowtf.config.section import Section
from barlowtf.data import Labeled, Rendering, SkippedImages
from barlowtf.encoders import Encoder
from barlowtf.evaluation.published import Published
from barlowtf.records import Measure, Subset

Settings = TypeVar("Settings", bound=Section)
# A protocol's name and its variants are parts of file names.
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


class Splits(abc.ABC):
    """Training and test images of a protocol.

    Attributes:
        train: Training images; what holds them has a `size`.
        test: Test images, likewise.
        class_count: Number of classes K.
        class_names: [K]; None: the classes are only numbered.
        fingerprints: Split -> sha256 of what identifies its data.
        held_out: Share of the training images that is held out as test images; None: there are test images.
    """

    train: Any
    test: Any
    class_count: int
    class_names: tuple[str, ...] | None
    fingerprints: dict[str, str]
    held_out: float | None = None

    def for_seed(self, seed: int) -> "Splits":
        """Returns the splits of a seed: the same for all, unless test images are held out of the training images."""
        return self

    @abc.abstractmethod
    def choose(
        self, *, fraction: float, seed: int, file: Path | None, sha256: str | None
    ) -> tuple["Splits", Subset | None]:
        """Returns the splits with the training images whose labels may be used, and how those were chosen.

        Args:
            fraction: Share of the labels that the protocol may use, in (0, 1].
            seed: Seed of a draw.
            file: List of training images; None: the protocol's share.
            sha256: Expected sha256 of the list; None: not checked.

        Returns:
            The splits, and how the images were chosen; None: all of them.

        Raises:
            DataError: The list cannot be used, or a class has no image.
        """

    @abc.abstractmethod
    def without_unreadable(self, channels: int, rendering: Rendering, skipped: SkippedImages) -> "Splits":
        """Returns the splits without the images that cannot be read; reads all images once.

        Args:
            channels: Channels of the images, >= 1.
            rendering: How they are decoded.
            skipped: Receives those that cannot be read.

        Raises:
            DataError: Too few images are left, or too many cannot be read.
        """


class Fit(Interface):
    """Trains a model to its last step, or until a signal comes; resumes what the folder holds."""

    def __call__(
        self,
        model: keras.Model,
        batches: Callable[[int], Iterator[Any]],
        *,
        total_steps: int,
        steps_per_epoch: int,
        folder: Path,
        on_epoch_end: Callable[[int], Mapping[str, float]] | None = None,
    ) -> bool:
        """Trains the model.

        Args:
            model: Compiled, its optimizer built, made in the strategy's scope; `train_step` returns a scalar "loss".
            batches: Given the number of finished steps, yields what each step takes from there on.
            total_steps: Optimizer steps in all.
            steps_per_epoch: Optimizer steps of one pass over the data.
            folder: Keeps the unfinished training: checkpoints and metrics.jsonl.
            on_epoch_end: Called with the number of the epoch, from 0, after its last step; what it returns is recorded
                in metrics.jsonl. A resumed training may call it for the same epoch again.

        Returns:
            Whether the training is finished. If not, its state is saved, and the same call resumes it.
        """


@dataclass(frozen=True)
class Task(Generic[Settings]):
    """One measurement: an encoder, images, settings and a seed.

    Attributes:
        encoder: What is measured. A protocol may train its weights; they are restored afterwards.
        features: Function of examples: their features, float32 [M, d], of center views in inference mode. They are
            computed once and shared with the other protocols.
        splits: The images whose labels may be used, and the test images.
        settings: Settings of the protocol.
        seed: Seed of heads, order, crops and draws, >= 0.
        folder: For what belongs to the result, head.keras for example; the protocol makes it.
        unfinished: For what an interrupted measurement needs to go on; it is deleted once the result is written.
        fit: Trains a model.
        strategy: Runs the training; make models in its scope.
    """

    encoder: Encoder
    features: Callable[[Labeled], np.ndarray]
    splits: Any
    settings: Settings
    seed: int
    folder: Path
    unfinished: Path
    fit: Fit
    strategy: tf.distribute.Strategy


@dataclass(frozen=True)
class Outcome:
    """What a protocol measured.

    Attributes:
        scores: Name of a measure -> value.
        per_class: Score of each class in [0, 1]; None for a class without test images; [] where there are no classes.
        confusion: Number of test images by true and predicted class, [K][K]; None where classes do not exclude each
            other.
        details: What else there is to know: the penalty that was chosen, the reported epoch.
    """

    scores: dict[str, float]
    per_class: list[float | None] = field(default_factory=list)
    confusion: list[list[int]] | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Protocol:
    """A way to measure an encoder.

    Attributes:
        name: On the command line, in file names and in tables.
        variants: Name of a variant -> its settings; the first one is the default. All are of one class.
        open_data: Function of two SPECs, those of the training and of the test images, of the number of channels, of
            bits, white and background of the images, and of the share of the training images to hold out as test
            images (None: there are test images): the splits.
        measure: Function of a `Task`: its outcome; None where a signal came first.
        measures: The scores that tables show, the first one first.
        training_spec: Function of --data: the SPEC of the training images.
        fraction: Share of the labels that it may use, in (0, 1].
        takes_list: Whether --subset may name the labeled images.
        published: Published numbers; None: there are none.
        depends_on_seed: Whether a seed changes anything while the encoder stays the same.
        trains_encoder: Function of settings: whether they train the encoder.
        require: Function of an encoder that is called before data is read: raises ConfigError where the protocol
            cannot measure it.
        per_class_title: What the scores of the classes are.
    """

    name: str
    variants: Mapping[str, Section]
    open_data: Callable[[str, str, int, Rendering, float | None], Splits]
    measure: Callable[[Task[Any]], Outcome | None]
    measures: tuple[Measure, ...]
    training_spec: Callable[[str], str] = str
    fraction: float = 1.0
    takes_list: bool = True
    published: Published | None = None
    depends_on_seed: bool = True
    trains_encoder: Callable[[Any], bool] = lambda settings: False
    require: Callable[[Encoder], object] = lambda encoder: None
    per_class_title: str = "Accuracy by class"

    def __post_init__(self) -> None:
        """Checks what file names are made of.

        Raises:
            ValueError: A name does not fit, or there is no variant.
        """
        for name in (self.name, *self.variants):
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"Invalid name: received {name!r}, expected lowercase letters, digits, hyphens and underscores."
                )
        if not self.variants or len({type(settings) for settings in self.variants.values()}) > 1:
            raise ValueError(
                f"Invalid variants of protocol {self.name}: received {list(self.variants)}, expected at least one, "
                "all with settings of one class."
            )
