"""Errors of the machine while a run trains, in words that say what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from barlowtf.config import Recipe
from barlowtf.errors import CheckpointError, TrainingError
from barlowtf.runs import RunFolder


@contextmanager
def explained(run: RunFolder, recipe: Recipe) -> Iterator[None]:
    """Turns a full disk and full memory into errors of barlowtf; others pass.

    Raises:
        CheckpointError: The run folder cannot be written.
        TrainingError: A step does not fit into memory.
    """
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"Cannot write to the run folder {run.path}: {error.strerror or error}. "
            "Checkpoints are kept; make room and run the same command to resume."
        ) from error
    except tf.errors.ResourceExhaustedError as error:
        raise TrainingError(
            f"A step of {recipe.train.batch_size} images does not fit into memory: "
            f"{(str(error).strip().splitlines() or [repr(error)])[0]} "
            "Lower train.batch_size, spread it over more replicas, or set train.micro_batch."
        ) from error
