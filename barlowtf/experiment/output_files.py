"""Where a command may write its one file: looked at before anything is read, so that nobody's own file is replaced."""

import tempfile
from pathlib import Path

from barlowtf.errors import CheckpointError, ConfigError
from barlowtf.records import Record, read_record

_PAGES = (".html", ".htm")


def require_place(out: Path, example: str) -> None:
    """Checks that a file can be written.

    Args:
        out: The file.
        example: Name of such a file, for messages: "report.html".

    Raises:
        ConfigError: Its folder is missing or takes no new file, or it is a folder.
    """
    if not out.parent.is_dir():
        raise ConfigError(f"Cannot write {out}: there is no folder {out.parent}. Make it, or choose another --out.")
    if out.is_dir():
        raise ConfigError(f"Cannot write {out}: it is a folder. Expected a file, e.g. --out {out / example}.")
    try:
        # Rights alone do not tell: root may write everywhere but on a disk that is read-only or full.
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise ConfigError(f"Cannot write {out}: {error.strerror}. Choose another --out.") from error


def require_page(out: Path, example: str) -> None:
    """Checks that a page can be written: a run, a photo or features are never replaced by one.

    Args:
        out: The file.
        example: Name of such a file, for messages.

    Raises:
        ConfigError: Its name does not end in .html or .htm, or see `require_place`.
    """
    require_place(out, example)
    if out.suffix.lower() not in _PAGES:
        raise ConfigError(f"Cannot write a page to {out}: its name does not end in .html. For example --out {example}.")


def require_own(out: Path, record: Path, kind: type[Record]) -> None:
    """Checks that a file, if it is there, was written by the same command, which left a record beside it.

    Args:
        out: The file.
        record: The record of what lies in it.
        kind: Of the record.

    Raises:
        ConfigError: It is somebody else's.
    """
    if not out.exists() and not record.exists():
        return
    try:
        read_record(record, kind)
    except CheckpointError as error:
        there = out if out.exists() else record
        raise ConfigError(
            f"{there} is there and was not written by this command: {record.name} is not its record. Choose another "
            "--out, or move it away."
        ) from error
