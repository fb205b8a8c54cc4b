"""Image files that a list names: each must exist and be named once."""

import collections
import errno
import logging
import os
from pathlib import Path

from barlowtf.errors import DataError
from barlowtf.regular import require_regular

_LOG = logging.getLogger("barlowtf")


def listed_files(names: list[str], folder: Path, listed_in: Path) -> list[tuple[str, int]]:
    """Returns path and size in bytes of each image that a list names, in its order.

    Args:
        names: Paths relative to `folder`.
        folder: Folder of the images.
        listed_in: Path of the list, for messages.

    Raises:
        DataError: The list is empty, a name has a NUL, an image is named twice, a name leads to a pipe or a device,
            which must not be opened, or half of what it names does not exist. Fewer that do not exist have size 0 and a
            line in the log: they are images that cannot be read.
    """
    if not names:
        raise DataError(f"Invalid list {listed_in}: it names no image, expected one per line.")
    unreadable = next((place for place, name in enumerate(names) if "\0" in name), None)
    if unreadable is not None:
        raise DataError(f"Invalid list {listed_in}: image {unreadable + 1} has a NUL in its name. Correct the name.")
    twice = [name for name, count in collections.Counter(names).items() if count > 1]
    if twice:
        raise DataError(
            f"Invalid list {listed_in}: it names {len(twice)} images twice, {name_some(twice)}; expected each once."
        )
    sizes = [_bytes_of(folder / name, listed_in) for name in names]
    missing = [name for name, size in zip(names, sizes, strict=True) if size is None]
    remedy = _backslashes(missing, folder)
    if missing and 2 * len(missing) < len(names):
        _LOG.warning(
            "%d of %d images that %s names are missing: %s. They cannot be read.%s",
            len(missing),
            len(names),
            listed_in,
            name_some(missing),
            f" {remedy}" if remedy else "",
        )
    elif missing:
        raise DataError(
            f"Missing images in {folder}: {len(missing)} of {len(names)} that {listed_in} names, {name_some(missing)}. "
            f"{remedy or 'Copy them there, or remove them from the list.'}"
        )
    return [(name, size or 0) for name, size in zip(names, sizes, strict=True)]


def name_some(names: list[str], count: int = 5) -> str:
    """Returns the first `count` of some names for a message: "a, b" or "a, b, ..."."""
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


def _backslashes(missing: list[str], folder: Path) -> str:
    """Returns what to do about missing files that are there once backslashes are read as "/"; "" where none is."""
    count = sum("\\" in name and os.path.isfile(folder / name.replace("\\", "/")) for name in missing)
    if not count:
        return ""
    return f"Paths are written with / here, and {count} of these are there by that name: replace \\ by / in the list."


def _bytes_of(path: Path, listed_in: Path) -> int | None:
    """Returns the size of a file, None where there is none; raises DataError where it must not be opened."""
    try:
        require_regular(path)
        return os.stat(path).st_size if path.is_file() else None
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise DataError(f"Invalid image {path} in the list {listed_in}: {error.strerror}.") from error
        return None
