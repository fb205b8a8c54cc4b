"""What the train and the test split of a data set must not be: the same images, or classes numbered differently."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from barlowtf.data.content import UNREADABLE, image_digests
from barlowtf.data.source import Source
from barlowtf.errors import DataError

# Images of each split that are compared, and letters of a name that are shown.
_COMPARED, _SHOWN = 64, 60
# Images of both splits up to which all are compared.
_ALL_COMPARED = 5_000


def require_other_images(spec: str, train: Source, test: Source) -> None:
    """Raises DataError where the test split of a data set has the images of its train split."""
    if are_same_images(train, test):
        raise DataError(_same_images(spec, test))


def require_equal_classes(spec: str, train: Source, test: Source) -> None:
    """Raises DataError where the splits of a data set name the classes differently."""
    difference = class_difference(train.class_names, test.class_names)
    if difference:
        raise DataError(f"Invalid classes of {spec}: {difference}")


def notes_on_both(spec: str, train: Source, test: Source) -> list[str]:
    """Returns what the two splits of a data set must not be and are, one line each."""
    notes = [_same_images(spec, test)] if are_same_images(train, test) else []
    if train.has_labels and test.has_labels:
        difference = class_difference(train.class_names, test.class_names)
        notes += [f"The splits have different classes: {difference}"] if difference else []
    return notes


def are_same_images(train: Source, test: Source) -> bool:
    """Returns whether two splits are the same images in the same order.

    They are where their fingerprints are equal, or where both have the same number of images and up to 64 of them,
    evenly spread, are equal as they are stored. One image alone, or images that all equal each other, say nothing.
    """
    if train.size != test.size:
        return False
    return train.fingerprint == test.fingerprint or _have_equal_samples(train, test)


def count_images_in_both(train: Source, test: Source) -> int:
    """Returns how many test images the train split holds, too, equal as they are stored; 0 where there are many images.

    Above 5,000 images of both splits together nothing is compared, as it would take seconds; `barlowtf data check`
    compares them.
    """
    if train.size + test.size > _ALL_COMPARED:
        return 0
    known = set(image_digests(train)) - {UNREADABLE}
    return sum(digest in known for digest in image_digests(test))


def class_difference(train: Sequence[str] | None, test: Sequence[str] | None) -> str:
    """Returns how the classes of two splits contradict each other, "" where they do not.

    Args:
        train: Name of each class by its number, "" for a number that stands for none; None: numbers alone.
        test: The same of the test split. It may have fewer classes, or more.
    """
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for number, name in enumerate(train or ()):
        numbers[name].append(number)
    for number, name in enumerate(test or ()):
        before = train[number] if train and number < len(train) else ""
        if name and before and name != before:
            found = f"label {number} is {before[:_SHOWN]} in the train split and {name[:_SHOWN]} in the test split"
        elif name and not before and numbers.get(name):
            found = f"{name[:_SHOWN]} is label {numbers[name][0]} in the train split and {number} in the test split"
        else:
            continue
        return f"{found}. Give each class the same label in both splits."
    return ""


def _same_images(spec: str, test: Source) -> str:
    return (
        f"The test split of {spec} has the same {test.size:,} images as its train split, so nothing can be measured on "
        "it. Replace it by images that are not in train, or remove it."
    )


def _have_equal_samples(train: Source, test: Source) -> bool:
    contents = set()
    for number in np.unique(np.linspace(0, train.size - 1, min(_COMPARED, train.size)).round().astype(np.int64)):
        try:
            first, second = (_stored(source, int(number)) for source in (train, test))
        except (tf.errors.OpError, OSError, ValueError):
            return False
        if first != second:
            return False
        contents.add(first)
    return len(contents) > 1


def _stored(source: Source, number: int) -> bytes:
    image = source.read(tf.constant(number, tf.int64)).numpy()
    return image if isinstance(image, bytes) else f"{image.dtype} {image.shape} ".encode() + image.tobytes()
