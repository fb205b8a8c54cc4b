"""The run folder: what lies where, who may use it, and writes that are whole or not there at all.

::

    RUN/recipe.toml      every setting, resolved; the same recipe repeats the run
        run.json         versions, device, git commit, data fingerprint, wall time, peak memory, result
        metrics.jsonl    one JSON object a line
        tensorboard/     event files
        checkpoints/     training state, one folder a save
        encoder.keras    the trained encoder, written at the end
        results/  exports/
"""

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from barlowtf.config import Recipe, dump_recipe, load_recipe, recipe_differences
from barlowtf.errors import CheckpointError, ConfigError


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
        """What ran where, with what result."""
        return self.path / "run.json"

    @property
    def metrics(self) -> Path:
        """Measurements, one JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        """Folder of event files."""
        return self.path / "tensorboard"

    @property
    def checkpoints(self) -> Path:
        """Folder of saved training states."""
        return self.path / "checkpoints"

    @property
    def encoder(self) -> Path:
        """The trained encoder."""
        return self.path / "encoder.keras"

    @property
    def projector(self) -> Path:
        """The trained projector, which only the embeddings need."""
        return projector_beside(self.encoder)

    def read_info(self) -> dict[str, Any]:
        """Returns the contents of run.json, {} when there is none.

        Raises:
            CheckpointError: The file is not JSON.
        """
        if not self.info.exists():
            return {}
        try:
            return dict(json.loads(self.info.read_text(encoding="utf-8")))
        except ValueError as error:
            raise CheckpointError(f"{self.info} is not valid JSON: {error}. Restore or delete the file.") from error

    @property
    def finished(self) -> bool:
        """Whether the run has reached its last step and left its encoder."""
        return self.encoder.exists() and self.read_info().get("status") == "finished"


def projector_beside(encoder: Path) -> Path:
    """Returns where the projector of an encoder file lies: NAME.projector.keras beside NAME.keras."""
    return encoder.with_name(f"{encoder.stem}.projector.keras")


def open_run(path: str | Path, recipe: Recipe) -> RunFolder:
    """Returns the run folder for a recipe: a new one, or the one where this recipe has run before.

    Raises:
        CheckpointError: The folder holds another recipe's run (the message lists the keys that differ), something that
            is not a run, or cannot be made.
    """
    run = RunFolder(Path(path))
    if run.recipe.exists():
        _require_same_recipe(run, recipe)
        return run
    if run.path.exists() and not run.path.is_dir():
        raise CheckpointError(f"{run.path} is a file. Expected a folder for the run; choose another --run-dir.")
    if run.path.is_dir() and any(entry.name != ".lock" for entry in run.path.iterdir()):
        raise CheckpointError(
            f"{run.path} is not empty and holds no recipe.toml, so it is not a run folder. Choose another --run-dir."
        )
    try:
        run.path.mkdir(parents=True, exist_ok=True)
        write_atomic(run.recipe, dump_recipe(recipe))
    except OSError as error:
        raise CheckpointError(f"Cannot make the run folder {run.path}: {error.strerror}.") from error
    return run


def _require_same_recipe(run: RunFolder, recipe: Recipe) -> None:
    try:
        before = load_recipe(run.recipe)
    except ConfigError as error:
        raise CheckpointError(f"The recipe of the run folder {run.path} cannot be read: {error}") from error
    differences = recipe_differences(before, recipe)
    if differences:
        raise CheckpointError(
            f"{run.path} holds a run of another recipe: {'; '.join(differences)}. "
            "Give the same settings to resume it, or another --run-dir."
        )


@contextmanager
def locked(run: RunFolder) -> Iterator[None]:
    """Holds the run folder for this process; the lock ends with the process, however it ends.

    Raises:
        CheckpointError: Another process holds it.
    """
    with open(run.path / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CheckpointError(
                f"Another process works in {run.path}. Wait for it, or choose another folder."
            ) from error
        yield


def write_atomic(path: Path, content: str | bytes) -> None:
    """Writes a file so that a reader, or a crash, finds the old content or the new, never a part."""
    data = content.encode() if isinstance(content, str) else content
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files; a run is as readable as anything else its user makes.
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def write_json(path: Path, value: Any) -> None:
    """Writes a value as indented JSON, atomically."""
    write_atomic(path, json.dumps(value, indent=2) + "\n")


def append_json_line(path: Path, value: dict[str, Any]) -> None:
    """Appends one JSON object as a line, in one write."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(value) + "\n")


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Returns the objects of a JSON-lines file, [] when there is none; a last line cut short by a crash is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(dict(json.loads(line)))
        except ValueError as error:
            if number == len(lines):
                break
            raise CheckpointError(
                f"{path}, line {number} is not valid JSON: {error}. Mend or delete the line."
            ) from error
    return records


def forget_after(path: Path, step: int) -> None:
    """Drops the records of a JSON-lines file that come after a step, for a run that resumes there."""
    records = read_json_lines(path)
    kept = [record for record in records if record.get("step", 0) <= step]
    if path.exists():
        write_atomic(path, "".join(json.dumps(record) + "\n" for record in kept))
