"""Files and folders that appear whole or not at all: written aside under a unique name, flushed, renamed.

A reader, a crash or a full disk finds the old content or the new, never a part. A symbolic link at the target is
replaced, never followed. What a killed process leaves behind has a name that starts with a dot; `remove_leftovers`
deletes it.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_MARK = ".writing-"


def write_file(target: Path, content: str | bytes) -> None:
    """Writes a small file, text as UTF-8.

    Args:
        target: Path of the file; what is there is replaced.
        content: The whole content.

    Raises:
        OSError: It cannot be written. The old content is kept.
    """
    with whole_file(target) as aside:
        aside.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Yields a path to write, of the same name and suffix as the target; it becomes the target at the end.

    Args:
        target: Path of the file, in a folder that exists; what is there is replaced.

    Raises:
        OSError: It cannot be written. The old content is kept.
    """
    with whole_files([target]) as (aside,):
        yield aside


@contextmanager
def whole_files(targets: Sequence[Path], *, overwrite: bool = True) -> Iterator[list[Path]]:
    """Yields a path to write for each of several files that belong together; the first is renamed last.

    Args:
        targets: Paths of different files of one folder, which exists.
        overwrite: Whether files that are there are replaced.

    Raises:
        FileExistsError: A target is there, and `overwrite` is false.
        OSError: A file cannot be written, or was not made. None of them is kept.
    """
    folder = targets[0].parent
    with _folder_aside(folder, targets[0].name) as aside:
        places = [aside / target.name for target in targets]
        yield places
        for place in places:
            _flush(place)
        if not overwrite:
            for target in targets:
                if os.path.lexists(target):
                    raise FileExistsError(17, "it is there already", str(target))
        for place, target in reversed(list(zip(places, targets, strict=True))):
            os.replace(place, target)
        _flush(folder)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Yields an empty folder to fill; it becomes the target at the end.

    Args:
        target: Path of the folder; parents are made.

    Raises:
        FileExistsError: The target is there, also where another process made it meanwhile.
        OSError: It cannot be written. Nothing of it is left.
    """
    made = _make_parents(target.parent)
    try:
        with _folder_aside(target.parent, target.name) as aside:
            content = aside / target.name
            content.mkdir()
            yield content
            for path in sorted(content.rglob("*")):
                if not path.is_symlink():
                    _flush(path)
            _flush(content)
            if os.path.lexists(target):
                raise FileExistsError(17, "it is there already", str(target))
            os.rename(content, target)
            _flush(target.parent)
    except BaseException:
        for parent in made:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
        raise


def remove_leftovers(folder: Path) -> None:
    """Deletes what killed writers left in a folder; the caller makes sure that nobody writes there now."""
    for leftover in folder.glob(f".*{_MARK}*"):
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)


@contextmanager
def _folder_aside(folder: Path, name: str) -> Iterator[Path]:
    """Yields a new private folder beside the target, and deletes it at the end."""
    aside = Path(tempfile.mkdtemp(dir=folder, prefix=f".{name[:100]}{_MARK}"))
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _make_parents(folder: Path) -> list[Path]:
    """Makes a folder and its parents; returns those that were missing, the innermost first."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
    return missing


def _flush(path: Path) -> None:
    """Waits until a file or folder is on the disk itself."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
