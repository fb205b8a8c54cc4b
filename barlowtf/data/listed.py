"""Image files that a list names: each must be there, and once."""

import collections
import os
from pathlib import Path

from barlowtf.errors import DataError


def listed_files(names: list[str], folder: Path, listed_in: Path) -> list[tuple[str, int]]:
    """Returns path and size in bytes of each image that a list names, in its order.

    Args:
        names: Paths relative to `folder`.
        folder: Where the images should lie.
        listed_in: The list, for messages.

    Raises:
        DataError: The list is empty, names an image twice, or names images that are not there.
    """
    if not names:
        raise DataError(f"{listed_in} names no image. Expected one a line.")
    twice = [name for name, count in collections.Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{listed_in} names {len(twice)} images twice: {name_some(twice)}. Expected each once.")
    sizes = [_bytes_of(folder / name) for name in names]
    missing = [name for name, size in zip(names, sizes, strict=True) if size is None]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(names)} images that {listed_in} names are not in {folder}: {name_some(missing)}. "
            "Copy them there, or take them out of the list."
        )
    return [(name, size) for name, size in zip(names, sizes, strict=True) if size is not None]


def name_some(names: list[str], count: int = 5) -> str:
    """Returns the first `count` of some names for a message: "a, b" or "a, b, ..."."""
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


def _bytes_of(path: Path) -> int | None:
    """Returns the size of a file, None where there is none."""
    try:
        return os.stat(path).st_size if path.is_file() else None
    except OSError:
        return None
