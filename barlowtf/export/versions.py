"""The folder of an export: numbered versions beside one another, each there as a whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from barlowtf.atomic import whole_folder
from barlowtf.errors import ExportError
from barlowtf.export.format import Format
from barlowtf.tables import FORMATS


def next_version(out: Path, name: str, form: Format) -> int:
    """Returns the number of the next version in a folder: 1 where it is new.

    Args:
        out: Folder of the versions.
        name: Name of the format, for messages.
        form: The format.

    Raises:
        ExportError: The folder holds something else than versions of this format, or is a file.
    """
    if not out.exists():
        return 1
    if not out.is_dir():
        raise ExportError(f"{out} is a file. Expected a folder for the export; choose another --out.")
    versions, others = [], []
    for entry in sorted(out.iterdir()):
        if entry.is_dir() and entry.name.isdecimal():
            versions.append(entry)
        elif entry.name not in form.beside and entry.suffix != ".json" and not entry.name.startswith("."):
            others.append(entry.name)
    for version in versions:
        if not _holds(version, form):
            found = next((other for other, known in FORMATS.items() if _holds(version, known)), "something else")
            raise ExportError(f"{version} is an export to {found}, expected {name}. Choose another --out.")
    if others:
        raise ExportError(
            f"{out} is in use and holds {', '.join(sorted(others)[:5])}. Expected a new folder, or one of earlier "
            "exports: 1, 2, ... Choose another --out."
        )
    return max((int(version.name) for version in versions), default=0) + 1


@contextmanager
def new_version(out: Path, version: int) -> Iterator[Path]:
    """Yields a folder to fill, which becomes `out`/`version` at the end; after an error nothing of it is left.

    Raises:
        ExportError: It cannot be written, or another process has taken the version meanwhile.
    """
    target = out / str(version)
    try:
        with whole_folder(target) as aside:
            yield aside
    except OSError as error:
        raise ExportError(f"Cannot write {target}: {error.strerror or error}. Choose another --out.") from error


def _holds(version: Path, form: Format) -> bool:
    return any(any(version.glob(pattern)) for pattern in form.files)
