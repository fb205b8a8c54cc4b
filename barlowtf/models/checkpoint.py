"""Training state on disk: written aside, checked by its manifest, renamed into place.

::

    checkpoints/step-00000640/state.index, state.data-*    what tf.train.Checkpoint writes
                              manifest.json                step, and size and SHA-256 of each file
"""

import hashlib
import logging
import re
import shutil
from pathlib import Path

import keras
import tensorflow as tf

from barlowtf.atomic import remove_leftovers, whole_folder
from barlowtf.errors import CheckpointError
from barlowtf.records import CheckpointManifest, FileDigest, read_record, write_record

_LOG = logging.getLogger("barlowtf")
_PREFIX, _MANIFEST = "step-", "manifest.json"


def training_state(model: keras.Model) -> tf.train.Checkpoint:
    """Returns what is restored of a compiled model, see `state_variables`."""
    return tf.train.Checkpoint(values=state_variables(model))


def state_variables(model: keras.Model) -> dict[str, tf.Variable]:
    """Returns weights, running statistics, optimizer slots and step count of a compiled model by their keys."""
    parts = {"weight": model.variables, "optimizer": model.optimizer.variables}
    return {f"{kind}-{index}": variable.value for kind, part in parts.items() for index, variable in enumerate(part)}


def state_names(model: keras.Model) -> list[str]:
    """Returns what each of `state_variables` is, in words, in their order."""
    parts = {"weight": model.variables, "optimizer state": model.optimizer.variables}
    return [f"{kind} {variable.path}" for kind, part in parts.items() for variable in part]


def save_state(folder: Path, state: tf.train.Checkpoint, step: int, *, keep: int) -> Path:
    """Saves a training state and deletes the oldest ones.

    Args:
        folder: The run's `checkpoints` folder; made when missing.
        state: See `training_state`.
        step: Finished steps, >= 0.
        keep: How many of the last checkpoints stay, >= 1.

    Returns:
        The folder of this checkpoint. A checkpoint of the same step that is already there stays as it is.

    Raises:
        CheckpointError: It cannot be written, e.g. the disk is full. Earlier checkpoints stay.
    """
    target = folder / f"{_PREFIX}{step:08d}"
    if target.exists():
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
        with whole_folder(target) as aside:
            state.write(str(aside / "state"))
            files = {path.name: _digest(path) for path in sorted(aside.iterdir())}
            write_record(aside / _MANIFEST, CheckpointManifest(step=step, files=files))
    except (OSError, tf.errors.OpError) as error:
        raise CheckpointError(
            f"Cannot save the checkpoint of step {step} in {folder}: {_reason(error)}. "
            "Earlier checkpoints are kept; make room and run the same command to resume."
        ) from error
    for old in list_checkpoints(folder)[:-keep]:
        shutil.rmtree(old)
    return target


def copy_state(source: Path, folder: Path) -> Path:
    """Copies a checkpoint of one run to another run, as the state after its step 0.

    Args:
        source: One of `list_checkpoints` of the first run, whole.
        folder: The `checkpoints` folder of the other; made when missing.

    Returns:
        The folder of the copy.

    Raises:
        CheckpointError: It cannot be read or written, or has changed meanwhile.
    """
    target = folder / f"{_PREFIX}{0:08d}"
    try:
        recorded = read_record(source / _MANIFEST, CheckpointManifest)
        with whole_folder(target) as aside:
            for name in recorded.files:
                shutil.copyfile(source / name, aside / name)
            write_record(aside / _MANIFEST, recorded.model_copy(update={"step": 0}))
            fault = find_fault(aside)
            if fault is not None:
                raise CheckpointError(f"Cannot copy the checkpoint {source}: {fault}. Try again.")
    except OSError as error:
        raise CheckpointError(f"Cannot copy the checkpoint {source} to {target}: {_reason(error)}.") from error
    return target


def restore_state(folder: Path, state: tf.train.Checkpoint, *, before: int | None = None) -> int:
    """Restores the newest checkpoint that is whole.

    Args:
        folder: The run's `checkpoints` folder.
        state: See `training_state`.
        before: Only checkpoints of fewer steps count; None: all.

    Returns:
        Its step; 0, and nothing restored, when there is no checkpoint.

    Raises:
        CheckpointError: There are checkpoints and none is whole, or the whole one belongs to another model.
    """
    faults = []
    for path in reversed(list_checkpoints(folder)):
        if before is not None and step_of(path) >= before:
            continue
        fault = find_fault(path)
        if fault is None:
            try:
                state.read(str(path / "state")).assert_consumed()
            except (AssertionError, ValueError, tf.errors.OpError) as error:
                raise CheckpointError(f"{path} holds the state of another model: {_reason(error)}") from error
            return step_of(path)
        faults.append(f"{path.name} ({fault})")
        _LOG.warning("Checkpoint %s is damaged: %s. Trying the one before.", path, fault)
    if faults:
        raise CheckpointError(
            f"No usable checkpoint in {folder}: {', '.join(faults)}. "
            "Restore one of them from a backup, or start again with another --run-dir."
        )
    return 0


def restore_weights(path: Path, *parts: keras.Model) -> int:
    """Restores weights and running statistics from one checkpoint; the optimizer's state stays behind.

    Args:
        path: One of `list_checkpoints`.
        *parts: The first parts of the run's model in its order, the encoder and the projector; or the model itself.

    Returns:
        The checkpoint's step.

    Raises:
        CheckpointError: It is not whole, or belongs to another model.
    """
    fault = find_fault(path)
    if fault is not None:
        raise CheckpointError(f"The checkpoint {path} is damaged: {fault}. Choose another one.")
    variables = [variable for part in parts for variable in part.variables]
    values = {f"weight-{index}": variable.value for index, variable in enumerate(variables)}
    try:
        state = tf.train.Checkpoint(values=values).read(str(path / "state"))
        state.assert_existing_objects_matched().expect_partial()
    except (AssertionError, ValueError, tf.errors.OpError) as error:
        raise CheckpointError(f"{path} holds the state of another model: {_reason(error)}") from error
    return step_of(path)


def list_checkpoints(folder: Path) -> list[Path]:
    """Returns the checkpoints of a run, oldest first; what else lies there, links too, is none."""
    named = (path for path in folder.glob(f"{_PREFIX}*") if re.fullmatch(rf"{_PREFIX}[0-9]{{8,18}}", path.name))
    return sorted((path for path in named if path.is_dir() and not path.is_symlink()), key=step_of)


def step_of(path: Path) -> int:
    """Returns the number of finished steps of one of `list_checkpoints`."""
    return int(path.name.removeprefix(_PREFIX))


def find_fault(path: Path) -> str | None:
    """Returns what is wrong with a checkpoint's files, None when they are as they were written."""
    try:
        recorded = read_record(path / _MANIFEST, CheckpointManifest)
    except CheckpointError as error:
        return str(error).rstrip(".")
    for name, expected in recorded.files.items():
        if not (path / name).is_file():
            return f"{name} is missing"
        found = _digest(path / name)
        if found.bytes != expected.bytes:
            return f"{name} has {found.bytes} bytes, {expected.bytes} were written"
        if found.sha256 != expected.sha256:
            return f"{name} does not have the bytes that were written"
    return None


def _digest(path: Path) -> FileDigest:
    with open(path, "rb") as file:
        return FileDigest(bytes=path.stat().st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest())


def _reason(error: BaseException) -> str:
    """Returns the first line of an error's own words, without TensorFlow's names of nodes."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return re.sub(r"\{\{.*?\}\}\s*|\s*\[Op:\w+\]", "", line)
