"""Errors of the machine while a run trains, as messages that say what to do."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import keras
import tensorflow as tf

from barlowtf.atomic import disk_error
from barlowtf.errors import CheckpointError, TrainingError


@contextmanager
def closing(watchers: Sequence[keras.callbacks.Callback]) -> Iterator[None]:
    """Closes the callbacks that can be closed, in their order, each also where another one fails."""
    with ExitStack() as stack:
        for watcher in reversed(watchers):
            if hasattr(watcher, "close"):
                stack.callback(watcher.close)
        yield


@contextmanager
def explained_failures(folder: Path, batch_size: int) -> Iterator[None]:
    """Turns a full disk and full memory into errors of barlowtf; others pass.

    Args:
        folder: The run folder.
        batch_size: Images per step, for the message.

    Raises:
        CheckpointError: The run folder cannot be written.
        TrainingError: A step does not fit into memory.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        # TensorFlow has one error for full memory and for a full disk.
        found = disk_error(error)
        if found is not None:
            raise CheckpointError(
                f"Cannot write to the run folder {folder}: {found[1]}. "
                "Checkpoints are kept; free some space and run the same command to resume."
            ) from error
        if not isinstance(error, tf.errors.ResourceExhaustedError):
            raise
        raise TrainingError(
            f"A step of {batch_size} images does not fit into memory: "
            f"{(str(error).strip().splitlines() or [repr(error)])[0]} "
            "Lower train.batch_size, use more replicas, or set train.micro_batch."
        ) from error
