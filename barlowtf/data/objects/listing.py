"""Image files that annotations name: each lies in its folder, is there, and is named once."""

import collections
import os
import stat
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from barlowtf.errors import DataError


def annotated_files(names: Sequence[str], folder: Path, named_in: Path) -> list[tuple[str, int]]:
    """Returns path and size in bytes of each image that annotations name.

    Args:
        names: Paths relative to `folder`, with "/" between their parts.
        folder: Folder of the images.
        named_in: The list or the annotations, for messages.

    Raises:
        DataError: None is named, one leads out of the folder, is named twice, is missing, or is no regular file.
    """
    if not names:
        raise DataError(f"No images in {named_in}: received none, expected at least one. Add images to this split.")
    leaving = [name for name in names if not stays_inside(name)]
    if leaving:
        raise DataError(
            f"Invalid image names in {named_in}: {some(leaving)}, expected names of files in {folder}, without '..'. "
            "Correct the names."
        )
    twice = [name for name, count in collections.Counter(names).items() if count > 1]
    if twice:
        raise DataError(
            f"Invalid image names in {named_in}: received {some(twice)} more than once, expected each once. Remove "
            "the copies."
        )
    sizes = [_bytes_of(folder / name) for name in names]
    missing = [name for name, size in zip(names, sizes, strict=True) if size is None]
    if missing:
        raise DataError(
            f"Missing images in {folder}: {len(missing)} of {len(names)} that {named_in} names, {some(missing)}; "
            "expected a file for each. Copy them there, or remove them from the annotations."
        )
    return [(name, size or 0) for name, size in zip(names, sizes, strict=True)]


def stays_inside(name: str) -> bool:
    """Returns whether a name means something in the folder that it is joined to."""
    parts = PurePosixPath(name).parts
    return bool(parts) and "\0" not in name and ".." not in parts and not PureWindowsPath(name).anchor


def some(names: Sequence[object]) -> str:
    """Returns the first three names for a message, of long ones the beginning."""
    shown = [text if len(text := repr(name)) <= 60 else f"{text[:56]}...{text[0]}" for name in names[:3]]
    return ", ".join(shown) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def _bytes_of(path: Path) -> int | None:
    """Returns the size of a regular file, None where there is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
