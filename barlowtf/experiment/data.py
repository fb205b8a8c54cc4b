"""`barlowtf data`: what a data set holds, and packing it into TFRecord files."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from barlowtf import data
from barlowtf.data.image_files import ImageFiles
from barlowtf.data.layout import is_image_file
from barlowtf.errors import DataError
from barlowtf.experiment.object_facts import ObjectFacts, object_facts, object_lines
from barlowtf.experiment.skipping import skips_of
from barlowtf.places import given_path
from barlowtf.records import Record

# Images that are read to describe a data set, and letters of the names of classes that are shown.
_SAMPLE, _LINE = 256, 80


class DataDescription(Record):
    """What one split of a data set holds."""

    name: str = Field(description="name of the data")
    images: int = Field(description="number of images")
    splits: dict[str, int] = Field(description="train, and test where there is one -> number of images")
    classes: int | None = Field(description="number of classes; null: no labels")
    class_names: tuple[str, ...] | None = Field(description="name of each class; null: classes have numbers alone")
    images_per_class: tuple[int, ...] | None = Field(description="number of images of each class; null: no labels")
    objects: dict[str, ObjectFacts] = Field(description="split -> its boxes and masks; empty: the images have none")
    fingerprint: str = Field(description="sha256 of what identifies the data")
    notes: tuple[str, ...] = Field(description="what was passed over, and what else may surprise")
    sample: data.SampleFacts = Field(description="what a sample of the images shows")
    sameness: str | None = Field(description="why nothing can be learned from them: one color, equal; null: it can")


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
    counts, names, nameless = None, None, 0
    if labels is not None:
        (numbered,), names = data.without_gaps([labels], source.class_names)
        counts = np.bincount(numbered[numbered >= 0], minlength=len(names or ()))
        nameless = int((labels < 0).sum())
    has_no = "image has" if nameless == 1 else "images have"
    notes = (*source.notes, *([f"{nameless:,} {has_no} no label."] if nameless else []))
    splits = _open_both(spec, split, source)
    alike = data.note_on_alike_names(name for part in splits.values() for name in part.class_names or ())
    notes = (*notes, *([] if alike is None else [alike]))
    if len(splits) == 2:
        notes = (*notes, *data.notes_on_both(spec, splits["train"], splits["test"]))
    objects, unusable = object_facts(spec)
    notes = (*notes, *([] if unusable is None else [f"The boxes cannot be used: {unusable}"]))
    return DataDescription(
        name=source.name,
        images=source.size,
        splits={name: part.size for name, part in splits.items()},
        classes=None if counts is None else len(counts),
        class_names=names,
        images_per_class=None if counts is None else tuple(counts.tolist()),
        objects=objects,
        fingerprint=source.fingerprint,
        notes=notes,
        sample=data.sample_facts(source, _SAMPLE),
        sameness=data.find_sameness(source),
    )


def _open_both(spec: str, split: str, source: data.Source) -> dict[str, data.Source]:
    """Returns each split, train first, of which one is open."""
    other = "test" if split == "train" else "train"
    opened = {split: source, other: data.open_source(spec, other)}
    return {name: part for name in ("train", "test") if (part := opened[name]) is not None}


def explain_data(facts: DataDescription) -> str:
    """Returns what a data set holds as lines of text, on one screen, with the settings that its images ask for."""
    sample, lines = facts.sample, [("name", facts.name), ("images", f"{facts.images:,}")]
    lines.append(("splits", ", ".join(f"{name} ({size:,})" for name, size in facts.splits.items())))
    if facts.classes is None:
        lines.append(("labels", "none"))
    else:
        lines.append(("classes", f"{facts.classes:,}{_some(facts.class_names or ())}"))
        counts = facts.images_per_class or (0,)
        lines.append(("images per class", f"{min(counts):,} to {max(counts):,}"))
    lost = f", {sample.unreadable:,} of them unreadable" if sample.unreadable else ""
    lines += object_lines(facts.objects)
    lines.append(("sample", f"{sample.sampled:,} images{lost}"))
    lines += [("", f"{name}: {reason}") for name, reason in list(sample.problems.items())[:3]]
    lines.append(("formats", _counts(sample.kinds)))
    for axis, (least, median, largest) in (("heights", sample.heights), ("widths", sample.widths)):
        extent = f"{least:,} to {largest:,} pixels, median {median:,}" if least < largest else f"{largest:,} pixels"
        lines.append((axis, extent))
    gray = ", all gray" if sample.is_gray and sample.channels == 3 else ""
    lines.append(("channels", f"{_counts(sample.stored_channels)}{', with alpha' if sample.has_alpha else ''}{gray}"))
    lines.append(("bits", f"{sample.bits}{f', white is {sample.white}' if sample.bits == 16 else ''}"))
    lines.append(("mean", ", ".join(f"{value:.4g}" for value in sample.mean)))
    lines.append(("deviation", ", ".join(f"{value:.4g}" for value in sample.std)))
    lines.append(("settings", " ".join(f"--set {setting}" for setting in recipe_settings(sample))))
    lines.append(("fingerprint", facts.fingerprint))
    if facts.sameness is not None:
        lines.append(("harm", f"{facts.sameness} Nothing can be learned from them."))
    lines += [("note", note) for note in facts.notes]
    return "\n".join(f"{name:<18}{text}" for name, text in lines)


def recipe_settings(sample: data.SampleFacts) -> list[str]:
    """Returns the settings of a recipe that make it read and normalize such images."""
    settings = [f"data.channels={1 if sample.is_gray else sample.channels}"]
    if sample.bits == 16:
        settings.append("data.depth=16")
    if sample.white != 65535:
        settings.append(f"data.white={sample.white}")
    for name, values in (("mean", sample.mean), ("std", sample.std)):
        shown = values[:1] if sample.is_gray else values
        settings.append(f"augment.{name}=[{','.join(f'{value:.4g}' for value in shown)}]")
    return settings


def _counts(counts: Mapping[Any, int]) -> str:
    """Returns "JPEG (250), PNG (6)", the name alone where there is one."""
    if len(counts) == 1:
        return str(next(iter(counts)))
    return ", ".join(f"{name} ({count:,})" for name, count in counts.items())


def _some(names: Sequence[str]) -> str:
    """Returns the first of some names for a line, with a colon before them."""
    text = ", ".join(names)
    if len(text) > _LINE:
        text = f"{text[:_LINE].rpartition(', ')[0]}, ..."
    return f": {text}" if names else ""


def pack_data(spec: str, split: str, prefix: str, *, shards: int = 8, max_unreadable: int | None = None) -> PackedData:
    """Writes a data set as TFRecord files PREFIX-00000-of-00008.tfrecord, ..., which read faster than small files.

    Args:
        spec: Which images, see `barlowtf.data.open_source`.
        split: "train" or "test".
        prefix: Path that the names of the files begin with.
        shards: Number of files, >= 1.
        max_unreadable: Maximum number of images to leave out because they cannot be read, >= 0; None: 100. They are
            listed in PREFIX.skipped.jsonl.

    Raises:
        DataError: It cannot be read, has no such split, or a file cannot be written.
    """
    source = open_split(spec, split)
    skipped = skips_of([], max_unreadable, None)
    paths = data.write_tfrecords(source, prefix, shards=shards, skipped=skipped)
    skipped.list_in(Path(f"{prefix}.{data.SKIPPED_FILE}"))
    return PackedData(images=source.size - len(skipped), files=tuple(str(path) for path in paths))


def open_split(spec: str, split: str) -> data.Source:
    """Returns one split of a data set.

    Raises:
        DataError: It cannot be read, or has no such split.
    """
    source = data.open_source(spec, split)
    if source is None:
        raise DataError(f"{spec} has no {split} split. Choose the other --split, or other data.")
    return source


def open_images(spec: str, split: str) -> data.Source:
    """Returns images to be described one by one: one split of a data set, or the one image of a file.

    Raises:
        DataError: It cannot be read, or has no such split.
    """
    file = given_path(spec)
    if split == "train" and is_image_file(file):
        return ImageFiles(file.name, file.parent, [(file.name, os.path.getsize(file))])
    return open_split(spec, split)
