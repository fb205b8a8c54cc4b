"""Errors of the machine while a run trains, as messages that say what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from barlowtf.errors import CheckpointError, TrainingError


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
    except OSError as error:
        raise CheckpointError(
            f"Cannot write to the run folder {folder}: {error.strerror or error}. "
            "Checkpoints are kept; free some space and run the same command to resume."
        ) from error
    except tf.errors.ResourceExhaustedError as error:
        raise TrainingError(
            f"A step of {batch_size} images does not fit into memory: "
            f"{(str(error).strip().splitlines() or [repr(error)])[0]} "
            "Lower train.batch_size, use more replicas, or set train.micro_batch."
        ) from error
