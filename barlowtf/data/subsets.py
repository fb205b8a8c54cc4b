"""A part of a data set: drawn at random, as many of each class, or named by a list."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np

from barlowtf.data.source import Source
from barlowtf.errors import DataError


def spread_ids(size: int, count: int, seed: int) -> np.ndarray:
    """Returns the numbers of at most `count` examples, drawn without replacement; the same on every machine.

    Args:
        size: Number of examples in the data set, >= 1.
        count: How many to draw, >= 1; all of them where `count` >= `size`.
        seed: Seed of the draw, >= 0.

    Returns:
        int64 [min(count, size)], sorted.

    Raises:
        ValueError: An argument is out of range.
    """
    for argument, value, least in (("size", size, 1), ("count", count, 1), ("seed", seed, 0)):
        if value < least:
            raise ValueError(f"{argument} is too small. Received {value}. Expected at least {least}.")
    if count >= size:
        return np.arange(size, dtype=np.int64)
    # Philox is defined by integers alone and named here, so that a new NumPy default changes nothing.
    generator = np.random.Generator(np.random.Philox(seed))
    return np.sort(generator.choice(size, count, replace=False, shuffle=False).astype(np.int64))


def balanced_ids(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Returns the numbers of a share of the examples, as many of each class as can be; the same on every machine.

    Letters: M examples, K classes that occur. The draw has max(K, round(fraction * M)) examples: each class gives the
    same number, or all it has; what is left over goes, one each, to classes in an order drawn by the seed.

    The draw is by SHA-256 of seed and number, so that no library's generator has a part in it.

    Args:
        labels: Integers [M].
        fraction: Share of the examples, in (0, 1].
        seed: Of the draw, >= 0.

    Returns:
        int64 [n], sorted.

    Raises:
        ValueError: An argument is out of range.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction is out of range. Received {fraction}. Expected (0, 1].")
    labels = np.asarray(labels)
    classes, sizes = np.unique(labels, return_counts=True)
    quotas = _quotas(sizes, max(len(classes), round(fraction * len(labels))), _order(classes, f"{seed}/class"))
    chosen = []
    for label, quota in zip(classes, quotas, strict=True):
        members = np.flatnonzero(labels == label)
        chosen.append(members[_order(members, f"{seed}/example")[:quota]])
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def _quotas(sizes: np.ndarray, count: int, order: np.ndarray) -> np.ndarray:
    """Returns how many each class gives, int64 [K]: equal where it can be, `count` in all."""
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


def _order(numbers: np.ndarray, salt: str) -> np.ndarray:
    """Returns the places of `numbers` in a pseudo-random order, int64 [n]."""
    digests = [hashlib.sha256(f"{salt}/{number}".encode()).digest() for number in numbers.tolist()]
    return np.array(sorted(range(len(digests)), key=digests.__getitem__), np.int64)


def listed_ids(source: Source, file: Path, *, sha256: str | None = None) -> np.ndarray:
    """Returns the numbers of the examples that a text file names, one a line.

    A line is the end of an image's path, "n01440764_10026.JPEG" or "cat/0001.png"; it must fit one image alone.

    Args:
        source: The examples; `source.identify` names their files.
        file: The list. Empty lines are passed over.
        sha256: What the file must have, hexadecimal; None: not checked.

    Returns:
        int64 [n], sorted.

    Raises:
        DataError: The file cannot be read, has another sha256, names nothing, images that are not there, that are not
            the only ones of that name, or the same one twice.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"Cannot read the list {file}: {error.strerror}.") from error
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256.lower():
        raise DataError(f"The list {file} is another one. Received sha256 {found}. Expected {sha256.lower()}.")
    lines = [line.strip() for line in content.decode("utf-8", "replace").splitlines() if line.strip()]
    if not lines:
        raise DataError(f"The list {file} names no image. Expected one file name a line.")
    places = _places(source, lines)
    for problem, names in (
        ("names images that are not there", [line for line in lines if not places[line]]),
        ("names several images at once, so give more of their paths", [x for x in lines if len(places[x]) > 1]),
        ("names images twice", [line for line, count in Counter(lines).items() if count > 1]),
    ):
        if names:
            raise DataError(f"The list {file} {problem}: {len(names)} of {len(lines)}, e.g. {', '.join(names[:5])}.")
    return np.unique(np.array([places[line][0] for line in lines], np.int64))


def _places(source: Source, lines: list[str]) -> dict[str, list[int]]:
    """Returns which examples each line may mean."""
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
    """Raises DataError where there are fewer than two classes, or one has no example.

    Args:
        labels: Of the chosen examples, integers [n].
        class_count: K of the whole data set.
        class_names: [K], or None.
        what: The examples, for the message: "The subset".
    """
    if class_count < 2:
        raise DataError(f"{what} has {class_count} class. Expected at least two.")
    missing = np.setdiff1d(np.arange(class_count), labels)
    if len(missing):
        names = [class_names[label] if class_names else str(label) for label in missing[:5]]
        raise DataError(
            f"{what} has no example of {len(missing)} of {class_count} classes, e.g. {', '.join(names)}. "
            "Expected at least one of each. Take more labels."
        )
