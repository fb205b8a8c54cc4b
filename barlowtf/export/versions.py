"""The folder of an export: numbered versions beside one another, each there as a whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from barlowtf.errors import ExportError

# Files of a version -> the format that they tell of.
_SIGNS = {
    "saved_model.pb": "saved-model",
    "*.tflite": "tflite",
    "*.keras": "keras",
    "*.onnx": "onnx",
    "*.pth": "torch",
}
# What lies beside the versions.
_BESIDE = ("model.config", "batching.config")


def next_version(out: Path, file_format: str) -> int:
    """Returns the number of the next version in a folder: 1 where it is new.

    Args:
        out: Folder of the versions.
        file_format: "saved-model", "tflite", "keras", "onnx" or "torch".

    Raises:
        ExportError: The folder holds something else than versions of this format, or is a file.
    """
    if not out.exists():
        return 1
    if not out.is_dir():
        raise ExportError(f"{out} is a file. Expected a folder for the export; choose another --out.")
    versions, others = [], []
    for entry in out.iterdir():
        if entry.is_dir() and entry.name.isdecimal():
            versions.append(entry)
        elif entry.name not in _BESIDE and entry.suffix != ".json" and not entry.name.startswith("."):
            others.append(entry.name)
    if others:
        raise ExportError(
            f"{out} is in use and holds {', '.join(sorted(others)[:5])}. Expected a new folder, or one of earlier "
            "exports: 1, 2, ... Choose another --out."
        )
    for version in versions:
        found = next((name for pattern, name in _SIGNS.items() if list(version.glob(pattern))), "something else")
        if found != file_format:
            raise ExportError(f"{version} is an export to {found}. Received {file_format}. Choose another --out.")
    return max((int(version.name) for version in versions), default=0) + 1


@contextmanager
def filling(out: Path, version: int) -> Iterator[Path]:
    """Gives a folder to fill, which becomes `out`/`version` at the end; after an error nothing of it is left.

    Raises:
        ExportError: It cannot be written, or another process has taken the version meanwhile.
    """
    aside, target = out / f".writing-{version}-{os.getpid()}", out / str(version)
    was_there = out.exists()
    try:
        aside.mkdir(parents=True)
        yield aside
        # Fails where the target has come into being: a folder that is not empty is never replaced.
        os.rename(aside, target)
    except OSError as error:
        raise ExportError(f"Cannot write {target}: {error.strerror or error}. Choose another --out.") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        if not was_there and out.is_dir() and not any(out.iterdir()):
            out.rmdir()
