"""Files and folders that appear whole or not at all: written aside under a unique name, flushed, renamed.

A reader, a crash or a full disk finds the old content or the new, never a part. A symbolic link at the target is
replaced, never followed. What is aside is removed where a signal ends the process (`barlowtf.leaving`). What a killed
process leaves behind has a name that starts with a dot and holds its number; the next writer in the folder deletes it.
"""

import errno
import os
import secrets
import shutil
import socket
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from barlowtf.errors import BarlowTFError
from barlowtf.leaving import undone_by
from barlowtf.regular import require_regular

_MARK = ".writing-"
# What TensorFlow and HDF5 put into their own words: a disk that is full, a quota, a limit, and no permission.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
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
    for target in targets:
        # Renaming would put a file in the place of /dev/null.
        if os.path.exists(target):
            require_regular(target)
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
        with naming(Path(folder)):
            yield Path(folder)


@contextmanager
def naming(target: Path) -> Iterator[None]:
    """Turns what ends a write inside into an OSError with the name of the file that is written.

    A full disk is met by writes, whose errors name no file, and by what lies aside, whose name nobody knows. Other
    libraries tell it in words of their own, and their errors hide it where closing the file fails as well.

    Args:
        target: The file or folder.

    Raises:
        OSError: `target` is its file, where it had none, or one that is aside.
    """
    try:
        yield
    except BarlowTFError:
        raise
    except Exception as error:
        found = disk_error(error)
        if found is None:
            raise
        number, reason, file = found
        if file is not None and _MARK not in file:
            raise
        raise OSError(number, reason, str(target)) from error


def disk_error(error: Exception) -> tuple[int, str, str | None] | None:
    """Returns the system's number and words for what a disk refused, and the file where it is known; None: else.

    Args:
        error: As a library raised it.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            file = None if cause.filename is None else os.fsdecode(cause.filename)
            # NumPy counts what it has written, and says nothing else; Arrow puts more around the system's words.
            reason = cause.strerror or (str(cause).splitlines() or ["it cannot be written"])[0]
            system = os.strerror(cause.errno) if cause.errno else reason
            return cause.errno or 0, system if system in reason else reason, file
        cause = cause.__cause__ or cause.__context__
    number = next((number for number in _FULL if os.strerror(number) in str(error)), None)
    return None if number is None else (number, os.strerror(number), None)


def reserve(path: Path) -> None:
    """Takes the whole space of a sparse file on the disk, where the system can.

    Otherwise the process that writes to it as memory would be killed when the disk is full.

    Args:
        path: The file.

    Raises:
        OSError: There is not so much space.
    """
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))


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
            if owner.startswith(beginning) and number.isdecimal() and not is_running(int(number)):
                shutil.rmtree(entry.path, ignore_errors=True)


def _machine() -> str:
    """Returns what tells machines apart, and the numbers of processes in different containers of one."""
    namespace = 0
    with suppress(OSError):
        namespace = os.stat("/proc/self/ns/pid").st_ino
    return f"{zlib.crc32(f'{socket.gethostname()} {namespace}'.encode()):08x}"


def is_running(number: int) -> bool:
    """Returns whether there is a process of this number on this machine."""
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
