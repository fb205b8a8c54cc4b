"""Training and test images with the boxes and masks of their objects."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from barlowtf import data
from barlowtf.data import Labeled, ObjectSet, open_objects
from barlowtf.errors import DataError, NoTestSplitError
from barlowtf.evaluation.contract import Splits
from barlowtf.records import Subset

_SHOWN = 3


@dataclass(frozen=True)
class ObjectSplits(Splits):
    """Training and test images with their objects, by the classes of the training images; see `Splits`."""

    train: ObjectSet
    test: ObjectSet
    class_count: int
    class_names: tuple[str, ...]
    fingerprints: dict[str, str]

    def choose(
        self, *, fraction: float, seed: int, file: Path | None, sha256: str | None
    ) -> tuple["ObjectSplits", Subset | None]:
        """Returns all images: there is no protocol that takes a part of them.

        Raises:
            DataError: A part is asked for.
        """
        if fraction != 1 or file is not None:
            raise DataError(
                f"Invalid part of the labels: received {f'the list {file}' if file else f'fraction {fraction}'}, "
                "expected all of them, fraction 1: detection is trained on all images. Leave it out."
            )
        return self, None

    def without_unreadable(
        self, channels: int, rendering: data.Rendering, skipped: data.SkippedImages
    ) -> "ObjectSplits":
        """Returns the splits without the images that cannot be read."""
        train, test = (_readable(split, channels, rendering, skipped) for split in (self.train, self.test))
        return replace(self, train=train, test=test)


def _readable(images: ObjectSet, channels: int, rendering: data.Rendering, skipped: data.SkippedImages) -> ObjectSet:
    """Returns the images that can be read, all read once."""
    ids = np.arange(images.size, dtype=np.int64)
    kept = data.readable_part(Labeled(images.source, ids, ids), channels, rendering, skipped).ids
    return images if len(kept) == len(ids) else images.part(kept)


def open_object_splits(
    train_spec: str,
    test_spec: str,
    channels: int,
    rendering: data.Rendering = data.EIGHT_BITS,
    held_out: float | None = None,
) -> ObjectSplits:
    """Returns both splits of a data set.

    Args:
        train_spec: SPEC of the training images.
        test_spec: SPEC of the test images; where it is another one and has no test split, all its images are the test
            images.
        channels: Channels of the images; they do not matter here, and no more does `rendering`.
        held_out: None: these images have test images of their own.
        rendering: Bits, white and background of the images.

    Raises:
        DataError: It cannot be read, a split has no objects, the test images have classes that the training images do
            not have, or share images with them, or images are to be held out.
    """
    if held_out is not None:
        raise DataError(
            f"Invalid --holdout {held_out}: images with boxes have a test split of their own. Leave it out, and name "
            "other test images with --eval-data."
        )
    train = open_objects(train_spec, "train")
    try:
        test = open_objects(test_spec, "test")
    except NoTestSplitError:
        if train_spec == test_spec:
            raise
        test = open_objects(test_spec, "train")
    return join_object_splits(train, test, test_spec)


def join_object_splits(train: ObjectSet, test: ObjectSet, test_spec: str) -> ObjectSplits:
    """Returns training and test images as splits of a protocol.

    Args:
        train: Training images.
        test: Test images.
        test_spec: SPEC of the test images, for messages.

    Raises:
        DataError: As of `open_object_splits`, but for images that cannot be read.
    """
    for name, split in (("training", train), ("test", test)):
        if not split.object_count:
            raise DataError(
                f"No objects in the {name} images of {split.source.name}: received {split.size} images without one, "
                "expected at least one object. Annotate them."
            )
    if all(objects.crowd.all() for objects in train.objects):
        raise DataError(
            f"No objects to learn from in the training images of {train.source.name}: all {train.object_count} are "
            "crowds, expected at least one other object. Annotate objects one by one."
        )
    data.require_other_images(test_spec, train.source, test.source)
    _require_no_common_image(train, test)
    test = _with_classes_of(train, test, test_spec)
    fingerprints = {"train": train.fingerprint, "test": test.fingerprint}
    return ObjectSplits(train, test, len(train.class_names), train.class_names, fingerprints)


def _require_no_common_image(train: ObjectSet, test: ObjectSet) -> None:
    """Raises DataError where a file is among the training and among the test images."""
    files = {train.source.identify(number) for number in range(train.size)}
    common = [name for name in map(test.source.identify, range(test.size)) if name in files]
    if common:
        raise DataError(
            f"Training images among the test images: received {len(common)} of {test.size} test images that are "
            f"training images, e.g. {common[0]}, expected others. Take them out of one of both lists."
        )


def _with_classes_of(train: ObjectSet, test: ObjectSet, test_spec: str) -> ObjectSet:
    """Returns the test images with the numbers of the training classes.

    Raises:
        DataError: They have objects of other classes.
    """
    if test.class_names == train.class_names:
        return replace(test, category_ids=train.category_ids)
    number = {name: place for place, name in enumerate(train.class_names)}
    present = {label for objects in test.objects for label in objects.labels.tolist()}
    unknown = [name for label, name in enumerate(test.class_names) if label in present and name not in number]
    if unknown:
        raise DataError(
            f"Unknown classes in the test images of {test_spec}: received {_some(unknown)}, expected those of the "
            f"training images, {_some(train.class_names)}. Correct the names, or train on images of all classes."
        )
    numbers = np.array([number.get(name, -1) for name in test.class_names], np.int64)
    objects = tuple(replace(one, labels=numbers[one.labels]) for one in test.objects)
    return replace(test, objects=objects, class_names=train.class_names, category_ids=train.category_ids)


def _some(names: tuple[str, ...] | list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(repr(name[:40]) for name in names[:_SHOWN]) + more
