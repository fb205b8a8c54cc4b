"""`barlowtf data`: what a data set holds, and packing it into TFRecord files."""

import numpy as np
from pydantic import Field

from barlowtf import data
from barlowtf.errors import DataError
from barlowtf.records import Record


class DataDescription(Record):
    """What one split of a data set holds."""

    name: str = Field(description="name of the data")
    images: int = Field(description="number of images")
    classes: int | None = Field(description="number of classes; null: no labels")
    class_names: tuple[str, ...] | None = Field(description="name of each class; null: classes have numbers alone")
    images_per_class: tuple[int, ...] | None = Field(description="number of images of each class; null: no labels")
    fingerprint: str = Field(description="sha256 of what identifies the data")


class PackedData(Record):
    """The files that hold a packed data set."""

    images: int = Field(description="number of images")
    files: tuple[str, ...] = Field(description="paths of the TFRecord files")


def describe_data(spec: str, split: str = "train") -> DataDescription:
    """Returns what a data set holds: images, classes and their sizes, fingerprint.

    Args:
        spec: Which images, see `barlowtf.data.open_source`.
        split: "train" or "test".

    Raises:
        DataError: It cannot be read, or has no such split.
    """
    source = open_split(spec, split)
    labels = source.labels
    counts = None if labels is None else np.bincount(labels)
    return DataDescription(
        name=source.name,
        images=source.size,
        classes=None if counts is None else len(counts),
        class_names=None if source.class_names is None else tuple(source.class_names),
        images_per_class=None if counts is None else tuple(counts.tolist()),
        fingerprint=source.fingerprint,
    )


def pack_data(spec: str, split: str, prefix: str, *, shards: int = 8) -> PackedData:
    """Writes a data set as TFRecord files PREFIX-00000-of-00008.tfrecord, ..., which read faster than small files.

    Args:
        spec: Which images, see `barlowtf.data.open_source`.
        split: "train" or "test".
        prefix: Path that the names of the files begin with.
        shards: Number of files, >= 1.

    Raises:
        DataError: It cannot be read, has no such split, or a file cannot be written.
    """
    source = open_split(spec, split)
    paths = data.write_tfrecords(source, prefix, shards=shards)
    return PackedData(images=source.size, files=tuple(str(path) for path in paths))


def open_split(spec: str, split: str) -> data.Source:
    """Returns one split of a data set.

    Raises:
        DataError: It cannot be read, or has no such split.
    """
    source = data.open_source(spec, split)
    if source is None:
        raise DataError(f"{spec} has no {split} split. Choose the other --split, or other data.")
    return source
