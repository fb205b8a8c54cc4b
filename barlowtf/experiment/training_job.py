"""One process' part in a run: its steps from the first to the last, to a signal, or to numbers that are not finite."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from rich.console import Console

from barlowtf import data, runs
from barlowtf.config import Recipe
from barlowtf.distribute import cluster_of
from barlowtf.errors import NonFiniteError
from barlowtf.experiment.explosion import explain_explosion
from barlowtf.experiment.starting import Start
from barlowtf.experiment.training_data import make_batches
from barlowtf.experiment.watching import make_callbacks
from barlowtf.models import BarlowTwins
from barlowtf.records import RunData
from barlowtf.train import callbacks, loop
from barlowtf.train.failures import closing, explained_failures
from barlowtf.train.interruption import Interruption
from barlowtf.train.last_finite import StepsAgain, find_saver, save_last_finite
from barlowtf.train.stepping import FrozenPhase, group_batches, make_step


@dataclass(frozen=True)
class Job:
    """One process' part in a run that is ready to train."""

    recipe: Recipe
    run: runs.RunFolder
    start: Start
    strategy: tf.distribute.Strategy
    source: data.Source
    images: RunData
    model: BarlowTwins
    steps_per_epoch: int
    steps_per_call: int
    interruption: Interruption
    console: Console
    skipped: data.SkippedImages
    timed_step_seconds: float | None

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.recipe.train.epochs * self.steps_per_epoch

    @property
    def frozen_steps(self) -> int:
        """Steps at the beginning that leave the encoder as it is."""
        return self.recipe.train.freeze_encoder_epochs * self.steps_per_epoch


def take_steps(job: Job, start_step: int, repeat_epoch_end: bool) -> int:
    """Trains to the end or to a signal; returns the number of finished steps."""
    recipe = job.recipe
    stop_request = tf.Variable(0.0, trainable=False) if cluster_of(job.strategy) else None
    stop = callbacks.StopOnRequest(job.interruption.requested, stop_request)
    watchers = make_callbacks(recipe, job.run, job.source, job.strategy, job.model, job.console, stop, job.skipped)
    if job.timed_step_seconds is not None:
        watchers.insert(0, callbacks.Pace(job.timed_step_seconds, total_steps=job.total_steps))
    step_function = _make_step(job, start_step, stop_request)
    with (
        explained_failures(job.run.path, recipe.train.batch_size),
        closing(watchers),
        job.interruption.finishing_steps(),
    ):
        try:
            return loop.train(
                job.model,
                step_function,
                _make_batches(job, start_step),
                start_step=start_step,
                total_steps=job.total_steps,
                steps_per_epoch=job.steps_per_epoch,
                steps_per_call=job.steps_per_call,
                callbacks=watchers,
                repeat_epoch_end=repeat_epoch_end,
            )
        except NonFiniteError as error:
            saved = _save_last_finite(job, error, watchers, step_function)
            raise explain_explosion(recipe, job.run.path, job.model, error, saved) from error


def _make_step(job: Job, start_step: int, stop_request: tf.Variable | None) -> loop.Step:
    recipe = job.recipe
    return make_step(
        job.model,
        job.strategy,
        xla=recipe.train.xla,
        deterministic=recipe.train.deterministic,
        steps_per_call=job.steps_per_call,
        stop_request=stop_request,
        frozen=FrozenPhase(job.frozen_steps, start_step, job.steps_per_epoch),
    )


def _make_batches(job: Job, start_step: int) -> Iterator[Any]:
    return group_batches(
        make_batches(job.recipe, job.source, job.strategy, start_step, job.total_steps, job.skipped),
        job.strategy,
        start_step=start_step,
        steps_per_epoch=job.steps_per_epoch,
        per_call=job.steps_per_call,
    )


def _save_last_finite(
    job: Job, error: NonFiniteError, watchers: list[keras.callbacks.Callback], step_function: loop.Step
) -> int | None:
    """Puts the last good state on the disk; returns its step, None where this process saves nothing."""
    saver = find_saver(watchers)
    if saver is None:
        return None
    # Of several workers the others take no step again.
    again = (
        None
        if cluster_of(job.strategy)
        else StepsAgain(
            lambda step: _make_step(job, step, None) if step < job.frozen_steps else step_function,
            lambda step: _make_batches(job, step),
            job.steps_per_epoch,
            job.steps_per_call,
            job.interruption.requested,
        )
    )
    return save_last_finite(saver, job.model, again, bad_state=error.bad_state)
