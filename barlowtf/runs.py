"""The run folder: which file lies where, and which process may use it.

::

    RUN/recipe.toml      every setting, resolved; the same recipe repeats the run
        run.json         versions, device, git commit, data fingerprint, wall time, peak memory, result
        metrics.jsonl    measurements, one JSON object per line
        tensorboard/     event files
        skipped.jsonl    images that were passed over, see `SkippedImage`; where there are any
        checkpoints/     training states, one folder per save
        best/            the training state after the best epoch, where checkpoint.keep_best names a measure
        encoder.keras    the trained encoder, written at the end; encoder.projector.keras beside it
        best.keras       the encoder after the best epoch, written at the end; best.projector.keras beside it
        results/  exports/  features/
        earlier-1/           recipe, run.json and measurements of an attempt that saved nothing, where another recipe
                             began anew in the folder
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from filelock import FileLock, Timeout

from barlowtf.atomic import write_file
from barlowtf.config import Recipe, dump_recipe, load_recipe
from barlowtf.errors import CheckpointError, ConfigError
from barlowtf.leaving import undone_by
from barlowtf.records import RunInfo, read_metrics, read_record

# What is written in a run folder, or in a folder of results or features.
_WRITTEN = (
    *("recipe.toml", "run.json", "metrics.jsonl", "tensorboard", "checkpoints", "best", "results", "exports"),
    *("features", "table.md", "_embed.json", ".parts", ".features"),
)

Status: TypeAlias = Literal["not started", "running", "killed", "interrupted", "finished"]

# Says in a reserved folder who has reserved it.
_HOLDER, _HOLDER_BYTES = ".lock-holder", 500


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run."""

    path: Path

    @property
    def recipe(self) -> Path:
        """The resolved recipe."""
        return self.path / "recipe.toml"

    @property
    def info(self) -> Path:
        """What ran where, with which result; see `RunInfo`."""
        return self.path / "run.json"

    @property
    def metrics(self) -> Path:
        """Measurements, one JSON object per line."""
        return self.path / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        """Folder of event files."""
        return self.path / "tensorboard"

    def skipped(self, worker: int | None = None) -> Path:
        """Images that could not be read, one JSON object per line; a worker beside the chief has its own list."""
        return self.path / ("skipped.jsonl" if worker is None else f"skipped.worker-{worker}.jsonl")

    @property
    def checkpoints(self) -> Path:
        """Folder of saved training states."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """Folder of the training state after the best epoch, see `checkpoint.keep_best`."""
        return self.path / "best"

    @property
    def best_encoder(self) -> Path:
        """The encoder after the best epoch."""
        return self.path / "best.keras"

    @property
    def encoder(self) -> Path:
        """The trained encoder."""
        return self.path / "encoder.keras"

    @property
    def projector(self) -> Path:
        """The trained projector."""
        return projector_beside(self.encoder)

    @property
    def features(self) -> Path:
        """Folder of the training images' features, one folder for each encoder and data set."""
        return self.path / "features"

    def read_recipe(self) -> Recipe:
        """Returns the recipe in the folder.

        Raises:
            CheckpointError: The file is missing or damaged.
        """
        try:
            return load_recipe(self.recipe)
        except ConfigError as error:
            raise CheckpointError(f"Cannot read the recipe of the run folder {self.path}: {error}") from error

    def read_info(self) -> RunInfo | None:
        """Returns the content of run.json, None before the first step.

        Raises:
            CheckpointError: The file is damaged; the message names the field.
        """
        return read_record(self.info, RunInfo) if self.info.exists() else None

    @property
    def status(self) -> Status:
        """How far the run is."""
        return status_of(self.read_info(), self.path)

    @property
    def finished(self) -> bool:
        """Whether the run has reached its last step and left its encoder."""
        return self.encoder.exists() and self.status == "finished"

    @property
    def has_saved(self) -> bool:
        """Whether something of what was learned is on the disk; if not, the run can only begin anew."""
        return self.status == "finished" or any(self.checkpoints.glob("step-*"))


def status_of(info: RunInfo | None, folder: Path) -> Status:
    """Returns how far the run in a folder is; it was killed where run.json says "running" and no process holds it."""
    if info is None:
        return "not started"
    return "killed" if info.status == "running" and not is_held(folder) else info.status


def projector_beside(encoder: Path) -> Path:
    """Returns where the projector of an encoder file lies: NAME.projector.keras beside NAME.keras."""
    return encoder.with_name(f"{encoder.stem}.projector.keras")


def open_run(path: str | Path, recipe: Recipe) -> RunFolder:
    """Returns the run folder for a recipe: a new one with the recipe in it, or one that is there.

    Raises:
        CheckpointError: The recipe in the folder cannot be read, the folder is not a run folder, or it cannot be made.
    """
    run = RunFolder(Path(path))
    if run.recipe.exists():
        run.read_recipe()
        return run
    if run.path.exists() and not run.path.is_dir():
        raise CheckpointError(f"Invalid run folder: received {run.path}, which is a file. Choose another --run-dir.")
    if run.path.is_dir() and any(entry.name not in (".lock", _HOLDER) for entry in run.path.iterdir()):
        raise CheckpointError(
            f"Invalid run folder: {run.path} is not empty and has no recipe.toml, so it is not a run folder. "
            "Choose another --run-dir."
        )
    try:
        run.path.mkdir(parents=True, exist_ok=True)
        write_file(run.recipe, dump_recipe(recipe))
    except OSError as error:
        raise CheckpointError(f"Cannot make the run folder {run.path}: {error.strerror}.") from error
    return run


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Reserves a folder for this process; the lock ends with the process, however it ends.

    Raises:
        CheckpointError: Another process uses it, or the lock is a symbolic link.
    """
    lock = folder / ".lock"
    linked = [path for path in map(folder.joinpath, _WRITTEN) if path.is_symlink()]
    if linked:
        raise CheckpointError(
            f"Invalid folder: {linked[0]} is a symbolic link, which is never written through. Put what it leads to in "
            "its place."
        )
    if lock.is_symlink():
        raise CheckpointError(f"Invalid lock: {lock} is a symbolic link, which is never followed. Delete it.")
    if lock.exists() and not lock.is_file():
        raise CheckpointError(f"Invalid lock: {lock} is no file. Delete it.")
    holder = folder / _HOLDER
    try:
        with FileLock(lock, timeout=0):
            with suppress(OSError):
                write_file(holder, f"process {os.getpid()} on {socket.gethostname()}\n")
            try:
                with undone_by(lambda _: holder.unlink(missing_ok=True)):
                    yield
            finally:
                with suppress(OSError):
                    holder.unlink(missing_ok=True)
    except Timeout as error:
        raise CheckpointError(
            f"Another process uses {folder}{_holder_named(holder)}. Wait for it, or choose another folder."
        ) from error


def is_held(folder: Path) -> bool:
    """Returns whether a process has reserved a folder, see `locked`; one that cannot be written is held by none."""
    lock = folder / ".lock"
    if lock.is_symlink() or not lock.is_file():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:
        return False


def _holder_named(holder: Path) -> str:
    """Returns ": process 1234 on node7", "" where it is not known."""
    with suppress(OSError, UnicodeDecodeError):
        if holder.is_file() and not holder.is_symlink() and holder.stat().st_size < _HOLDER_BYTES:
            return f": {holder.read_text(encoding='utf-8').strip()}"
    return ""


def forget_after(path: Path, step: int) -> None:
    """Removes the records of a JSON-lines file that come after a step, for a run that resumes there.

    Args:
        path: The file; it may be missing.
        step: Number of finished steps.

    Raises:
        CheckpointError: The file is damaged.
    """
    kept = [record for record in read_metrics(path) if record["step"] <= step]
    if path.exists():
        write_file(path, "".join(json.dumps(record) + "\n" for record in kept))
