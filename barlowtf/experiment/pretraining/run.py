"""`barlowtf pretrain`, top to bottom: recipe -> strategy -> data -> model -> training."""

import logging
import signal
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from rich.console import Console

from barlowtf import data, runs
from barlowtf.config import Recipe, dump_recipe
from barlowtf.distribute import cluster_of, describe_surroundings, is_chief, make_strategy, peak_memory_bytes
from barlowtf.encoders.building import build_model, settle_loss
from barlowtf.errors import Interrupted
from barlowtf.experiment.pretraining.failures import explained
from barlowtf.experiment.pretraining.parts import (
    count_steps_per_epoch,
    make_batches,
    make_callbacks,
    open_training_data,
)
from barlowtf.experiment.pretraining.requeue import requeued
from barlowtf.experiment.pretraining.stepping import count_steps_per_call, group_batches, make_step
from barlowtf.experiment.pretraining.workers import leave_together, require_agreement, telling_failures
from barlowtf.models import BarlowTwins, checkpoint
from barlowtf.models.saving import save_model
from barlowtf.records import RunData, RunInfo, RunResult, RunSteps, read_lines, write_record
from barlowtf.train import callbacks, loop
from barlowtf.train.interruption import Interruption

_LOG = logging.getLogger("barlowtf")


def pretrain(
    recipe: Recipe,
    run_dir: str | Path,
    *,
    strategy: str = "one",
    replicas: int | None = None,
    console: Console | None = None,
) -> RunInfo | None:
    """Pre-trains an encoder without labels; resumes where the folder holds an unfinished run of the recipe.

    Args:
        recipe: See `barlowtf.config.load_recipe`.
        run_dir: The run folder; see `barlowtf.runs` for what it will hold. All workers must see the same one.
        strategy: "one", "mirrored", "multiworker" or "tpu", see `barlowtf.distribute.make_strategy`.
        replicas: With "mirrored": so many logical CPU devices, on a machine without GPUs.
        console: Where the progress bar is drawn; None: standard error.

    Returns:
        What run.json holds; None on a worker that is not the chief.

    Raises:
        BarlowTFError: Input, run folder, machine or numbers do not allow the run to start or to go on.
        Interrupted: SIGINT, SIGTERM or SIGUSR1 came. What was finished is saved, and the same call resumes.
    """
    recipe = settle_loss(recipe)
    chosen = make_strategy(strategy, replicas)
    cluster = cluster_of(chosen)
    # From here on: making the strategy of several workers takes SIGTERM away from Python.
    with Interruption().listening() as interruption, telling_failures(Path(run_dir), cluster), requeued(chosen):
        source = open_training_data(recipe)
        steps_per_epoch = count_steps_per_epoch(recipe, source, chosen)
        count_steps_per_call(recipe, chosen)
        facts = {"recipe": dump_recipe(recipe), "data fingerprint": source.fingerprint, "data size": source.size}
        require_agreement(chosen, facts)
        run = runs.open_run(run_dir, recipe) if is_chief(chosen) else runs.RunFolder(Path(run_dir))
        with runs.locked(run.path) if is_chief(chosen) else nullcontext():
            finished = run.finished
            require_agreement(chosen, {"whether the run is finished": finished})
            if finished:
                leave_together(chosen)
                _LOG.info("%s is finished: nothing to do.", run.path)
                return run.read_info() if is_chief(chosen) else None
            if recipe.train.deterministic:
                tf.config.experimental.enable_op_determinism()
            with chosen.scope():
                model = build_model(recipe, steps_per_epoch)
            return _Run(recipe, run, chosen, source, model, steps_per_epoch, interruption).train(console)


@dataclass(frozen=True)
class _Run:
    """One process' part in a run that is ready to train."""

    recipe: Recipe
    folder: runs.RunFolder
    strategy: tf.distribute.Strategy
    source: data.Source
    model: BarlowTwins
    steps_per_epoch: int
    interruption: Interruption

    def train(self, console: Console | None) -> RunInfo | None:
        """Restores, trains to the end and leaves the encoder; returns what run.json then holds, on the chief."""
        run, recipe = self.folder, self.recipe
        total_steps = recipe.train.epochs * self.steps_per_epoch
        start_step = checkpoint.restore_state(run.checkpoints, checkpoint.training_state(self.model))
        require_agreement(self.strategy, {"the step to resume from": start_step})
        started = time.monotonic()
        before, info = run.read_info(), self._describe(total_steps)
        seconds_before = 0.0 if before is None else before.wall_seconds or 0.0
        chief = is_chief(self.strategy)
        # The last epoch's measurements are missing where a run was killed between its last step and them.
        repeat_epoch_end = False
        if chief:
            # A run that starts at step 0 measures the random encoder anew.
            runs.forget_after(run.metrics, start_step if start_step else -1)
            repeat_epoch_end = self._ended_unmeasured(start_step)
            write_record(run.info, info.model_copy(update={"wall_seconds": seconds_before}))
            self._say(start_step, total_steps)

        stop_request = tf.Variable(0.0, trainable=False) if cluster_of(self.strategy) else None
        stop = callbacks.StopOnRequest(self.interruption.requested, stop_request)
        watchers = make_callbacks(recipe, run, self.source, self.strategy, console or Console(stderr=True), stop)
        batches = self._batches(start_step, total_steps)
        try:
            with self.interruption.finishing_steps(), explained(run, recipe):
                finished_step = loop.train(
                    self.model,
                    make_step(recipe, self.model, self.strategy, stop_request),
                    batches,
                    start_step=start_step,
                    total_steps=total_steps,
                    steps_per_epoch=self.steps_per_epoch,
                    steps_per_call=count_steps_per_call(recipe, self.strategy),
                    callbacks=watchers,
                    repeat_epoch_end=repeat_epoch_end,
                )
        finally:
            for watcher in watchers:
                if hasattr(watcher, "close"):
                    watcher.close()
        leave_together(self.strategy)
        seconds = round(seconds_before + time.monotonic() - started, 1)
        # Also after the last step: its measurements are then still to be made.
        if finished_step < total_steps or self.model.stop_training:
            if chief:
                write_record(run.info, info.model_copy(update={"status": "interrupted", "wall_seconds": seconds}))
            self._stop(finished_step, total_steps)
        if not chief:
            return None
        save_model(self.model.projector, run.projector)
        save_model(self.model.encoder, run.encoder)
        ended = {"peak_memory_bytes": peak_memory_bytes(), "result": summarize(run)}
        result = info.model_copy(update={"status": "finished", "wall_seconds": seconds, **ended})
        write_record(run.info, result)
        return result

    def _describe(self, total_steps: int) -> RunInfo:
        source = self.source
        return RunInfo(
            **dict(describe_surroundings(self.strategy)),
            status="running",
            data=RunData(source=self.recipe.data.source, images=source.size, fingerprint=source.fingerprint),
            steps=RunSteps(total=total_steps, per_epoch=self.steps_per_epoch),
            parameters=self.model.count_params(),
            loss_terms=self.model.loss_terms,
        )

    def _batches(self, start_step: int, total_steps: int) -> Iterator[Any]:
        return group_batches(
            make_batches(self.recipe, self.source, self.strategy, start_step, total_steps),
            self.strategy,
            start_step=start_step,
            steps_per_epoch=self.steps_per_epoch,
            per_call=count_steps_per_call(self.recipe, self.strategy),
        )

    def _ended_unmeasured(self, step: int) -> bool:
        """Returns whether a run that resumes after `step` has an epoch's end to make up for."""
        if step == 0 or step % self.steps_per_epoch:
            return False
        here = [record for record in read_lines(self.folder.metrics) if record["step"] == step]
        return all("loss" in record for record in here)

    def _say(self, start_step: int, total_steps: int) -> None:
        if start_step:
            _LOG.info("Resuming %s after step %d of %d.", self.folder.path, start_step, total_steps)
        unseen = self.source.size - self.steps_per_epoch * self.recipe.train.batch_size
        if unseen:
            _LOG.info("%d of %d images are left out of each epoch, others each time.", unseen, self.source.size)

    def _stop(self, step: int, total_steps: int) -> None:
        """Ends an interrupted run, on every worker."""
        # A worker that was not asked itself stops because another one was.
        number = self.interruption.received or signal.SIGTERM
        text = f"Stopped by {number.name} after step {step} of {total_steps}, saved. The same command resumes."
        raise Interrupted(text if is_chief(self.strategy) else "", number)


def summarize(run: runs.RunFolder) -> RunResult:
    """Returns the figures of a run that a reader wants first, from its metrics."""
    records = read_lines(run.metrics)

    def column(name: str) -> list[float]:
        return [record[name] for record in records if name in record]

    knn, losses, speeds = column("knn_top1"), column("loss"), column("images_per_second")
    random = [record["knn_top1"] for record in records if record["step"] == 0 and "knn_top1" in record]
    return RunResult(
        knn_top1_random_encoder=random[0] if random else None,
        knn_top1=knn[-1] if knn else None,
        loss=losses[-1] if losses else None,
        images_per_second_median=round(float(np.median(speeds)), 2) if speeds else None,
    )
