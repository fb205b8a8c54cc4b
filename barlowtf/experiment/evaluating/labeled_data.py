"""The labeled images of a protocol: both splits, and the part whose labels it may use."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from barlowtf import data
from barlowtf.config.protocols import PROTOCOLS
from barlowtf.data import Labeled
from barlowtf.errors import DataError

_IMAGENET = "tfds:imagenet2012"
# The lists of SimCLR, which the published results use, as TensorFlow Datasets has them.
_IMAGENET_SUBSETS = {0.01: "tfds:imagenet2012_subset/1pct", 0.1: "tfds:imagenet2012_subset/10pct"}


@dataclass(frozen=True)
class Splits:
    """Training and test images with their classes.

    Attributes:
        train: All labeled training images.
        test: All test images.
        class_count: K.
        class_names: [K], or None.
        spec: Where the training images come from.
        fingerprints: Split -> sha256 of what identifies its data.
    """

    train: Labeled
    test: Labeled
    class_count: int
    class_names: tuple[str, ...] | None
    spec: str
    fingerprints: dict[str, str]


def training_spec(spec: str, protocol: str) -> str:
    """Returns where a protocol's training images come from: for ImageNet's semi1 and semi10 the published subsets."""
    if spec.partition(":")[0] == "tfds" and spec.split(":")[1] == "imagenet2012":
        return _IMAGENET_SUBSETS.get(PROTOCOLS[protocol].fraction, spec)
    return spec


def open_splits(spec: str, protocol: str, channels: int) -> Splits:
    """Returns both splits, in memory where they are small.

    Raises:
        DataError: There is no test split, a split has no labels, or fewer than two classes.
    """
    chosen = training_spec(spec, protocol)
    sources = {"train": data.open_source(chosen, "train"), "test": data.open_source(spec, "test")}
    if sources["test"] is None:
        raise DataError(
            f"{spec} has no test split, and protocol {protocol} needs one. "
            "Expected folders train/ and val/ or test/, or a data set that has both."
        )
    for split, source in sources.items():
        if not source.has_labels:
            raise DataError(
                f"The {split} images of {spec} have no labels, and protocol {protocol} needs them. "
                "Expected a folder for each class."
            )
    splits = {name: data.labeled(data.preload(source, channels)) for name, source in sources.items()}
    names = sources["train"].class_names
    least = min(int(split.labels.min()) for split in splits.values())
    largest = max(int(split.labels.max()) for split in splits.values())
    count = largest + 1 if names is None else len(names)
    if least < 0 or largest >= count:
        raise DataError(
            f"{spec} has labels from {least} to {largest}, and its training images name {count} classes. "
            f"Expected labels from 0 to {count - 1} in both splits."
        )
    if count < 2:
        raise DataError(f"{spec} has {count} class. Expected at least two.")
    fingerprints = {name: source.fingerprint for name, source in sources.items()}
    return Splits(splits["train"], splits["test"], count, names, chosen, fingerprints)


def without_unreadable(splits: Splits, channels: int) -> Splits:
    """Returns the splits without the images that cannot be read; reads all once.

    Raises:
        DataError: A split has no image that can be read.
    """
    parts = {name: data.readable_part(getattr(splits, name), channels) for name in ("train", "test")}
    return replace(splits, **parts)


def choose_labels(
    splits: Splits, protocol: str, seed: int, *, file: Path | None, sha256: str | None
) -> tuple[Labeled, dict[str, Any] | None]:
    """Returns the training images whose labels a protocol may use, and how they were chosen; None: all of them.

    Args:
        splits: See `open_splits`.
        protocol: Key of `PROTOCOLS`.
        seed: Of a draw.
        file: List of images, see `barlowtf.data.listed_ids`; None: a class-balanced draw where the protocol wants a
            share of the labels.
        sha256: What the list must have.

    Raises:
        DataError: The list cannot be used, or a class has no image in it.
    """
    train, fraction = splits.train, PROTOCOLS[protocol].fraction
    if file is not None:
        listed = data.listed_ids(train.source, file, sha256=sha256)
        places = np.flatnonzero(np.isin(train.ids, listed))
        list_sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        facts: dict[str, Any] = {"kind": "list", "file": str(file), "list_sha256": list_sha256}
    elif fraction == 1.0 or splits.spec in _IMAGENET_SUBSETS.values():
        data.require_classes(train.labels, splits.class_count, splits.class_names, "The training split")
        return train, None
    else:
        places = data.balanced_ids(train.labels, fraction, seed)
        facts = {"kind": "class-balanced draw", "fraction": fraction, "seed": seed}
    chosen = Labeled(train.source, train.ids[places], train.labels[places])
    data.require_classes(chosen.labels, splits.class_count, splits.class_names, "The subset")
    digest = hashlib.sha256(chosen.ids.astype("<i8").tobytes()).hexdigest()
    return chosen, {**facts, "images": chosen.size, "sha256": digest}
