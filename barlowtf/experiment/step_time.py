"""What a step of a recipe costs on this machine: a few warm steps are taken and timed."""

import logging
import time
from typing import Any

import keras
import tensorflow as tf

from barlowtf import data
from barlowtf.config import Recipe
from barlowtf.encoders.building import build_model
from barlowtf.errors import ConfigError
from barlowtf.experiment.step_memory import estimate_step_memory
from barlowtf.experiment.training_data import make_batches
from barlowtf.train.stepping import make_step

_LOG = logging.getLogger("barlowtf")
# Steps that are not timed: the first compiles, the second fills the buffers.
_WARM_STEPS = 2
_TIMED_SECONDS, _MOST_TIMED_STEPS = 8.0, 50


def step_memory(recipe: Recipe, strategy: tf.distribute.Strategy) -> float:
    """Returns the memory of one replica's step, bytes."""
    parts = estimate_step_memory(recipe, build_model(recipe, 1), strategy.num_replicas_in_sync)
    keras.utils.clear_session()
    return float(sum(parts.values()))


def time_step(recipe: Recipe, source: data.Source, strategy: tf.distribute.Strategy, steps_per_epoch: int) -> float:
    """Returns the seconds of a warm step, images included.

    Args:
        recipe: With its loss settled.
        source: The training images.
        strategy: Where to train.
        steps_per_epoch: Of the recipe, for the schedule.

    Raises:
        ConfigError: The step does not fit into memory.
    """
    _LOG.info(
        "Timing a step of %s at %d pixels: compiled first, in seconds, on a busy machine in minutes. This is not "
        "part of the budget.",
        recipe.model.encoder,
        recipe.augment.size,
    )
    with strategy.scope():
        model = build_model(recipe, steps_per_epoch)
    step = make_step(
        model,
        strategy,
        xla=recipe.train.xla,
        deterministic=recipe.train.deterministic,
        steps_per_call=1,
        stop_request=None,
    )
    # The run names the images that it passes over; timing it is no reason to name them twice.
    skipped = data.SkippedImages(recipe.data.max_unreadable, level=logging.DEBUG)
    batches = make_batches(recipe, source, strategy, 0, _WARM_STEPS + _MOST_TIMED_STEPS, skipped)
    try:
        for _ in range(_WARM_STEPS):
            _take(step, batches)
        started, count = time.monotonic(), 0
        while count < _MOST_TIMED_STEPS and time.monotonic() - started < _TIMED_SECONDS:
            _take(step, batches)
            count += 1
        seconds = (time.monotonic() - started) / count
        _LOG.info("A step takes %.3g s.", seconds)
        return seconds
    except tf.errors.ResourceExhaustedError as error:
        raise ConfigError(
            f"Out of memory in a step of {recipe.train.batch_size} images of {recipe.augment.size} pixels. "
            "Give a smaller --batch-size, or --set train.micro_batch."
        ) from error
    finally:
        # The run builds its model anew, with the names and seeds of a fresh process.
        keras.utils.clear_session()


def _take(step: Any, batches: Any) -> None:
    """Takes a step and waits for its loss."""
    logs = step(next(batches))
    tf.nest.map_structure(lambda value: value.numpy() if isinstance(value, tf.Tensor) else value, logs)
