"""A part of a data set: the same number of each class, or named by a list."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np

from barlowtf.data.order import hashed_order
from barlowtf.data.source import Source
from barlowtf.errors import DataError
from barlowtf.regular import require_regular


def balanced_ids(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Returns the numbers of a share of the examples, the same number of each class where possible.

    Letters: M examples, K classes that occur. The draw has max(K, round(fraction * M)) examples: each class gives the
    same number, or all it has; what is left over goes, one each, to classes in an order drawn by the seed.

    The draw is by `hashed_order`, so it is the same on every machine and with every version of a library.

    Args:
        labels: Integers [M].
        fraction: Share of the examples, in (0, 1].
        seed: Seed of the draw, >= 0.

    Returns:
        int64 [n], sorted.

    Raises:
        ValueError: An argument is out of range.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"Invalid fraction: received {fraction}, expected a number in (0, 1].")
    labels = np.asarray(labels)
    classes, sizes = np.unique(labels, return_counts=True)
    quotas = _quotas(sizes, max(len(classes), round(fraction * len(labels))), hashed_order(classes, f"{seed}/class"))
    chosen = []
    for label, quota in zip(classes, quotas, strict=True):
        members = np.flatnonzero(labels == label)
        chosen.append(members[hashed_order(members, f"{seed}/example")[:quota]])
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def held_out_ids(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Returns the numbers of the examples that are held out for a test, the same share of each class.

    The seeds 0 to n - 1, with n = round(1 / fraction), share one order of the examples and hold out one part of it
    each, so that with fraction = 1 / n they make an n-fold cross-validation; the next n seeds have another order. Of a
    class of fewer than n examples some seeds hold out none.

    Args:
        labels: Integers [M].
        fraction: Share to hold out, in (0, 0.5].
        seed: Seed, >= 0.

    Returns:
        int64 [n], sorted.

    Raises:
        ValueError: The fraction is out of range.
    """
    if not 0 < fraction <= 0.5:
        raise ValueError(f"Invalid fraction: received {fraction}, expected a number in (0, 0.5].")
    labels = np.asarray(labels)
    turn, part = divmod(seed, round(1 / fraction))
    held = [np.zeros(0, np.int64)]
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        order = members[hashed_order(members, f"{turn}/held out")]
        held.append(order[round(part * fraction * len(order)) : round((part + 1) * fraction * len(order))])
    return np.sort(np.concatenate(held)).astype(np.int64)


def _quotas(sizes: np.ndarray, count: int, order: np.ndarray) -> np.ndarray:
    """Returns how many examples each class gives, int64 [K]: equal where possible, `count` in total."""
    quotas = np.zeros(len(sizes), np.int64)
    while quotas.sum() < count:
        able = np.flatnonzero(quotas < sizes)
        share = (count - quotas.sum()) // len(able)
        if share == 0:
            last = [index for index in order if index in set(able.tolist())][: count - quotas.sum()]
            quotas[last] += 1
        else:
            quotas[able] = np.minimum(quotas[able] + share, sizes[able])
    return quotas


def listed_ids(source: Source, file: Path, *, sha256: str | None = None) -> np.ndarray:
    """Returns the numbers of the examples that a text file names, one per line.

    A line is the end of an image's path, "n01440764_10026.JPEG" or "cat/0001.png"; it must match exactly one image.

    Args:
        source: The examples; `source.identify` names their files.
        file: The list. Empty lines are ignored.
        sha256: Expected sha256 of the file, hexadecimal; None: not checked.

    Returns:
        int64 [n], sorted.

    Raises:
        DataError: The file cannot be read, has another sha256, names no image, an image that is missing, several
            images with one line, or one image twice.
    """
    try:
        require_regular(file)
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"Cannot read the list {file}: {error.strerror}.") from error
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256.lower():
        raise DataError(f"Invalid list {file}: received sha256 {found}, expected {sha256.lower()}.")
    lines = [line.strip() for line in content.decode("utf-8-sig", "replace").splitlines() if line.strip()]
    if not lines:
        raise DataError(f"Invalid list {file}: it names no image, expected one file name per line.")
    places = _places(source, lines)
    for problem, names in (
        ("name an image that is missing", [line for line in lines if not places[line]]),
        ("match several images, so give more of their paths", [x for x in lines if len(places[x]) > 1]),
        ("name an image twice", [line for line, count in Counter(lines).items() if count > 1]),
    ):
        if names:
            raise DataError(
                f"Invalid list {file}: {len(names)} of {len(lines)} lines {problem}, e.g. {', '.join(names[:5])[:200]}."
            )
    return np.unique(np.array([places[line][0] for line in lines], np.int64))


def _places(source: Source, lines: list[str]) -> dict[str, list[int]]:
    """Returns which examples each line matches."""
    depths = {line.count("/") for line in lines}
    places: dict[str, list[int]] = {line: [] for line in lines}
    for number in range(source.size):
        parts = source.identify(number).split("/")
        for depth in depths:
            tail = "/".join(parts[-depth - 1 :])
            if tail in places:
                places[tail].append(number)
    return places


def require_classes(labels: np.ndarray, class_count: int, class_names: tuple[str, ...] | None, what: str) -> None:
    """Checks that there are at least two classes, and that each of them has an example.

    Args:
        labels: Labels of the chosen examples, integers [n].
        class_count: Number of classes of the whole data set, K.
        class_names: Name of each class, [K], or None.
        what: What the examples are, for the message: "The subset".

    Raises:
        DataError: There are fewer than two classes, or a class has no example.
    """
    if class_count < 2:
        raise DataError(f"{what} has {class_count} class, expected at least two.")
    missing = np.setdiff1d(np.arange(class_count), labels)
    if len(missing):
        names = [class_names[label] if class_names else str(label) for label in missing[:5]]
        raise DataError(
            f"{what} has no example of {len(missing)} of {class_count} classes, e.g. {', '.join(names)}; "
            "expected at least one of each. Use more labels."
        )
