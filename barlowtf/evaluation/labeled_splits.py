"""Training and test images of one class each, and the part of them whose labels a protocol may use."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from barlowtf import data
from barlowtf.data import Labeled
from barlowtf.errors import DataError
from barlowtf.evaluation.contract import Splits
from barlowtf.records import Subset

_LOG = logging.getLogger("barlowtf")


@dataclass(frozen=True)
class LabeledSplits(Splits):
    """Training and test images with their classes.

    Attributes:
        train: Training images whose labels may be used.
        test: All test images.
        class_count: Number of classes K.
        class_names: [K]; None: the classes are only numbered.
        fingerprints: Split -> sha256 of what identifies its data.
        is_subset: Whether the training data is a published part already, from which no share is drawn.
        held_out: Share of the images that each seed holds out as test images; until then both splits are all images.
    """

    train: Labeled
    test: Labeled
    class_count: int
    class_names: tuple[str, ...] | None
    fingerprints: dict[str, str]
    is_subset: bool = False
    held_out: float | None = None

    def for_seed(self, seed: int) -> "LabeledSplits":
        """Returns the splits of a seed, see `data.held_out_ids`."""
        if self.held_out is None:
            return self
        held = data.held_out_ids(self.train.labels, self.held_out, seed)
        kept = np.setdiff1d(np.arange(self.train.size), held)
        train, test = (
            Labeled(self.train.source, self.train.ids[places], self.train.labels[places]) for places in (kept, held)
        )
        return replace(self, train=train, test=test)

    def choose(
        self, *, fraction: float, seed: int, file: Path | None, sha256: str | None
    ) -> tuple["LabeledSplits", Subset | None]:
        """Returns the splits with the training images of a list, or of a class-balanced draw; see `Splits.choose`."""
        train = self.train
        if file is not None:
            listed = data.listed_ids(train.source, file, sha256=sha256)
            places = np.flatnonzero(np.isin(train.ids, listed))
            list_sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
            facts: dict[str, Any] = {"kind": "list", "file": str(file), "list_sha256": list_sha256}
        elif fraction == 1.0 or self.is_subset:
            data.require_classes(train.labels, self.class_count, self.class_names, "The training split")
            return self, None
        else:
            places = data.balanced_ids(train.labels, fraction, seed)
            facts = {"kind": "class-balanced draw", "fraction": fraction, "seed": seed}
        chosen = Labeled(train.source, train.ids[places], train.labels[places])
        data.require_classes(chosen.labels, self.class_count, self.class_names, "The subset")
        digest = hashlib.sha256(chosen.ids.astype("<i8").tobytes()).hexdigest()
        return replace(self, train=chosen), Subset(**facts, images=chosen.size, sha256=digest)

    def without_unreadable(
        self, channels: int, rendering: data.Rendering, skipped: data.SkippedImages
    ) -> "LabeledSplits":
        """Returns the splits without the images that cannot be read."""
        train, test = (data.readable_part(part, channels, rendering, skipped) for part in (self.train, self.test))
        return replace(self, train=train, test=test)


def open_labeled(
    train_spec: str,
    test_spec: str,
    channels: int,
    rendering: data.Rendering = data.EIGHT_BITS,
    held_out: float | None = None,
) -> LabeledSplits:
    """Returns both splits, in memory where they are small.

    Args:
        train_spec: SPEC of the training images.
        test_spec: SPEC of the test images.
        channels: Channels of the images.
        rendering: Bits, white and background of the images.
        held_out: Share of the images to hold out as test images, for data without a test split; None: it has one.

    Raises:
        DataError: There is no test split, or one too many; it has the images of the train split, or names the classes
            differently; a split has no labels, or there are fewer than two classes.
    """
    sources = {"train": data.open_source(train_spec, "train")}
    test = data.open_source(test_spec, "test")
    _require_labels(sources["train"], "train", test_spec)
    if test is None and held_out is None:
        raise DataError(
            f"{test_spec} has no test split, which this protocol needs. Expected folders train/ and val/ or test/, or "
            "a data set that has both; or hold some images out: --holdout 0.2."
        )
    if test is not None and held_out is not None:
        raise DataError(f"Invalid --holdout {held_out}: {test_spec} has a test split. Leave it out.")
    sources["test"] = sources["train"] if test is None else test
    for note in dict.fromkeys(note for source in sources.values() for note in source.notes):
        _LOG.info("%s: %s", test_spec, note)
    _require_labels(sources["test"], "test", test_spec)
    if test is not None:
        data.require_other_images(test_spec, sources["train"], test)
        data.require_equal_classes(test_spec, sources["train"], test)
        _tell_images_in_both(test_spec, sources["train"], test)
    splits = {
        name: data.labeled(data.preload(source, channels, rendering=rendering)) for name, source in sources.items()
    }
    names = sources["train"].class_names
    largest = max(int(split.labels.max()) for split in splits.values())
    if names is not None and largest >= len(names):
        raise DataError(
            f"Invalid labels of {test_spec}: received {largest}, expected 0 to {len(names) - 1} in both splits: the "
            f"training images name {len(names)} classes."
        )
    numbered, names = data.without_gaps([split.labels for split in splits.values()], names)
    splits = {
        name: replace(split, labels=labels) for (name, split), labels in zip(splits.items(), numbered, strict=True)
    }
    alike = data.note_on_alike_names(names or ())
    if alike is not None:
        _LOG.warning("%s: %s", test_spec, alike)
    count = 1 + max(int(labels.max()) for labels in numbered) if names is None else len(names)
    if count < 2:
        raise DataError(f"Invalid data {test_spec}: received {count} class, expected at least two.")
    if test is not None:
        _require_several_classes(test_spec, splits["test"].labels, count, names)
    fingerprints = {name: source.fingerprint for name, source in sources.items()}
    if held_out is not None:
        text = f"{fingerprints['train']} held out {held_out}"
        fingerprints["test"] = hashlib.sha256(text.encode()).hexdigest()
    is_subset = train_spec != test_spec
    return LabeledSplits(
        splits["train"], splits["test"], count, names, fingerprints, is_subset=is_subset, held_out=held_out
    )


def _tell_images_in_both(spec: str, train: data.Source, test: data.Source) -> None:
    count = data.count_images_in_both(train, test)
    if count:
        _LOG.warning(
            "%s of %s test images of %s are in its train split, too: scores are too high. barlowtf data check %s "
            "names them.",
            *(f"{count:,}", f"{test.size:,}", spec, spec),
        )


def _require_several_classes(spec: str, labels: np.ndarray, count: int, names: Sequence[str] | None) -> None:
    """Raises DataError where all test images are of one class, and says it where some class has none.

    Whoever names one class for every image has all of the first kind right, or none.
    """
    present = np.unique(labels)
    if len(present) < 2:
        only = names[present[0]] if names else str(present[0])
        raise DataError(
            f"Invalid test split of {spec}: all {len(labels):,} images are of class {only}, expected two of the "
            f"{count:,} classes at least: the accuracy on one class says nothing. Add images of others, or take the "
            "split away and hold some images out: --holdout 0.2."
        )
    missing = np.setdiff1d(np.arange(count), present)
    if len(missing):
        examples = [names[label] if names else str(label) for label in missing[:5]]
        _LOG.warning(
            "The test split of %s has no image of %s of %s classes, e.g. %s: scores are of the others.",
            *(spec, f"{len(missing):,}", f"{count:,}", ", ".join(examples)),
        )


def _require_labels(source: data.Source, split: str, spec: str) -> None:
    """Raises DataError where a split has no labels."""
    if not source.has_labels:
        raise DataError(
            f"The {split} images of {spec} have no labels, which this protocol needs. Expected a folder for each "
            "class: give labeled images, --data SPEC."
        )
