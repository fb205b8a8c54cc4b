"""Training and test images that may show several classes at once."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from barlowtf import data
from barlowtf.data import Labeled, MultiLabelSet, open_multi_label
from barlowtf.errors import DataError
from barlowtf.evaluation.contract import Splits
from barlowtf.records import Subset


@dataclass(frozen=True)
class MultiLabelSplits(Splits):
    """Training and test images with the classes that each of them shows; see `Splits`."""

    train: MultiLabelSet
    test: MultiLabelSet
    class_count: int
    class_names: tuple[str, ...]
    fingerprints: dict[str, str]

    def choose(
        self, *, fraction: float, seed: int, file: Path | None, sha256: str | None
    ) -> tuple["MultiLabelSplits", Subset | None]:
        """Returns all images: there is no protocol that takes a part of them."""
        return self, None

    def without_unreadable(
        self, channels: int, rendering: data.Rendering, skipped: data.SkippedImages
    ) -> "MultiLabelSplits":
        """Returns the splits without the images that cannot be read."""
        train, test = (_readable(split, channels, rendering, skipped) for split in (self.train, self.test))
        return replace(self, train=train, test=test)


def _readable(
    images: MultiLabelSet, channels: int, rendering: data.Rendering, skipped: data.SkippedImages
) -> MultiLabelSet:
    """Returns the images that can be read, all read once."""
    ids = np.arange(images.size, dtype=np.int64)
    kept = data.readable_part(Labeled(images.source, ids, ids), channels, rendering, skipped).ids
    if len(kept) == len(ids):
        return images
    return replace(images, source=data.PartOfSource(images.source, kept), targets=images.targets[kept])


def open_multi_label_splits(
    train_spec: str,
    test_spec: str,
    channels: int,
    rendering: data.Rendering = data.EIGHT_BITS,
    held_out: float | None = None,
) -> MultiLabelSplits:
    """Returns both splits of a data set.

    Args:
        train_spec: SPEC of the training images.
        test_spec: SPEC of the test images.
        channels: Channels of the images; they do not matter here, and no more does `rendering`.
        held_out: None: these images have test images of their own.
        rendering: Bits, white and background of the images.

    Raises:
        DataError: It cannot be read, its splits have different classes or the same images,
            or images are to be held out.
    """
    if held_out is not None:
        raise DataError(
            f"Invalid --holdout {held_out}: images of several classes have a test split of their own. Leave it out."
        )
    train, test = open_multi_label(train_spec, "train"), open_multi_label(test_spec, "test")
    if train.class_names != test.class_names:
        differing = sorted(set(train.class_names) ^ set(test.class_names))
        raise DataError(
            f"The training and the test images of {test_spec} have different classes: received "
            f"{', '.join(differing[:5]) or 'another order'}, expected the same classes in the same order."
        )
    data.require_other_images(test_spec, train.source, test.source)
    fingerprints = {"train": train.fingerprint, "test": test.fingerprint}
    return MultiLabelSplits(train, test, len(train.class_names), train.class_names, fingerprints)
