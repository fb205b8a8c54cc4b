"""Labels as their owner writes them, texts or numbers, and the numbers 0 to K - 1 that stand for them here."""

from collections.abc import Iterable, Sequence

import numpy as np

# The label of an example without one, or whose label cannot be read.
NO_LABEL = -1
# Digits of a whole number that is a label; Python reads no more than 4,300.
LARGEST_DIGITS = 1_000


def number_classes(labels: Iterable[str | int]) -> tuple[tuple[str, ...], dict[str | int, int]]:
    """Returns the names of the classes, and the number of each label.

    Args:
        labels: Labels of all examples, in any order. Where all are whole numbers, also as texts, their classes are
            sorted as numbers, else as texts. An empty text is no label, and so is -1 among numbers >= 0; -1 and 1
            alone are two classes.

    Returns:
        K names, and label -> number in [0, K), `NO_LABEL` for none.
    """
    given = set(labels)
    distinct = {int(label) if _is_number(label) else label for label in given if label != ""}
    others = distinct - {-1}
    numeric = all(isinstance(label, int) for label in distinct)
    if numeric and others != {1} and all(int(label) >= 0 for label in others):
        distinct = others
    order = sorted(distinct, key=int) if numeric else sorted(distinct, key=str)
    names = tuple(str(label) for label in order)
    number: dict[str | int, int] = {label: place for place, label in enumerate(order)}
    number |= {name: place for place, name in enumerate(names)}
    return names, number | {label: NO_LABEL for label in given if label not in number}


def without_gaps(
    labels: Sequence[np.ndarray], names: tuple[str, ...] | None
) -> tuple[list[np.ndarray], tuple[str, ...] | None]:
    """Returns labels without the numbers that stand for no class: counted from 1, or with gaps between them.

    Args:
        labels: Labels of some parts of a data set, integers [n] each, < 0 for none.
        names: Name of each class, by its number, "" for a number that stands for none; None: numbers alone.

    Returns:
        The same parts, int64 [n] each with the numbers 0 to K - 1 in the same order; and the names of the K classes,
        their numbers before where they have no names. What has no gaps is returned as it is, without names where it had
        none.
    """
    used = np.unique(np.concatenate([part[part >= 0] for part in labels]))
    if names is not None:
        used = np.union1d(used, [number for number, name in enumerate(names) if name])
    used = used.astype(np.int64)
    if np.array_equal(used, np.arange(len(used))):
        return list(labels), names if names is None else names[: len(used)]
    placed = [np.where(part < 0, NO_LABEL, np.searchsorted(used, part)).astype(np.int64) for part in labels]
    return placed, tuple((names[number] if names and number < len(names) else "") or str(number) for number in used)


def is_too_long(label: str) -> bool:
    """Returns whether a label is a whole number of more digits than a class can have."""
    return len(label) > LARGEST_DIGITS and label.removeprefix("-").isdecimal()


def can_be_stored(text: str) -> bool:
    """Returns whether a text can be written: no half of a surrogate pair, but for those of names of files in bytes."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _is_number(label: str | int) -> bool:
    text = str(label)
    if len(text) > LARGEST_DIGITS:
        return False
    # "007" is a name, 7 a number.
    return text.removeprefix("-").isdecimal() and str(int(text)) == text
