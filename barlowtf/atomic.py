"""Files and folders that appear whole or not at all: written aside under a unique name, flushed, renamed.

A reader, a crash or a full disk finds the old content or the new, never a part. A symbolic link at the target is
replaced, never followed. What is aside is removed where a signal ends the process (`barlowtf.leaving`). What a killed
process leaves behind has a name that starts with a dot and holds its number; the next writer in the folder deletes it.
"""

import os
import secrets
import shutil
import socket
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from barlowtf.leaving import undone_by

_MARK = ".writing-"
# Folders in which this process has looked for what killed ones have left.
_tidied: set[str] = set()


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
    with naming(targets[0]), _folder_aside(folder, targets[0].name) as aside:
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
    with naming(target):
        made = _make_parents(target.parent)
    try:
        with (
            undone_by(lambda _: _remove_empty(made)),
            naming(target),
            _folder_aside(target.parent, target.name) as aside,
        ):
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
        _remove_empty(made)
        raise


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yields an empty folder among the temporary files, which is deleted at the end, also where a signal comes.

    Raises:
        OSError: It cannot be made.
    """
    with tempfile.TemporaryDirectory() as folder, undone_by(lambda _: shutil.rmtree(folder, ignore_errors=True)):
        yield Path(folder)


@contextmanager
def naming(target: Path) -> Iterator[None]:
    """Gives an OSError of what is written inside the name of the file that it is written for.

    A full disk is met by writes, whose errors name no file, and by what lies aside, whose name nobody knows.

    Args:
        target: The file or folder.

    Raises:
        OSError: The error, with `target` as its file where it had none, or one that is aside.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None and _MARK not in os.fsdecode(error.filename):
            raise
        reason = error.strerror or (str(error).splitlines() or [type(error).__name__])[0]
        raise OSError(error.errno or 0, reason, str(target)) from error


def remove_leftovers(folder: Path) -> None:
    """Deletes what killed writers left in a folder; the caller makes sure that nobody writes there now."""
    for leftover in folder.glob(f".*{_MARK}*"):
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)


@contextmanager
def _folder_aside(folder: Path, name: str) -> Iterator[Path]:
    """Yields a new private folder beside the target, and deletes it at the end."""
    _tidy(folder)
    # Cut by bytes, which is what a name may have 255 of.
    short = os.fsdecode(os.fsencode(name)[:100])
    aside = folder / f".{short}{_MARK}{_machine()}-{os.getpid()}-{secrets.token_hex(4)}"

    def remove(_: int = 0) -> None:
        shutil.rmtree(aside, ignore_errors=True)

    with undone_by(remove):
        aside.mkdir(mode=0o700)
        try:
            yield aside
        finally:
            remove()


def _tidy(folder: Path) -> None:
    """Deletes what processes of this machine have left in a folder that are not there any more, once per process."""
    place = os.path.abspath(folder)
    if place in _tidied:
        return
    _tidied.add(place)
    beginning = f"{_machine()}-"
    with suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            owner = entry.name.rpartition(_MARK)[2] if entry.name.startswith(".") else ""
            number = owner.removeprefix(beginning).partition("-")[0]
            if owner.startswith(beginning) and number.isdecimal() and not _is_running(int(number)):
                shutil.rmtree(entry.path, ignore_errors=True)


def _machine() -> str:
    """Returns what tells machines apart, and the numbers of processes in different containers of one."""
    namespace = 0
    with suppress(OSError):
        namespace = os.stat("/proc/self/ns/pid").st_ino
    return f"{zlib.crc32(f'{socket.gethostname()} {namespace}'.encode()):08x}"


def _is_running(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _remove_empty(folders: Sequence[Path]) -> None:
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


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
