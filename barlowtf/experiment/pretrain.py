"""`barlowtf pretrain`, top to bottom: recipe -> strategy -> data -> model -> training -> encoder."""

import logging
import signal
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf
from rich.console import Console

from barlowtf import choosing, runs
from barlowtf.config import Recipe, dump_recipe
from barlowtf.distribute import cluster_of, describe_surroundings, is_chief, make_strategy, peak_memory_bytes
from barlowtf.encoders.building import build_model, check_encoder, settle_loss
from barlowtf.encoders.restoring import restore_parts
from barlowtf.errors import CheckpointError, DataError, Interrupted, TrainingError
from barlowtf.experiment.run_notes import keep_failure, sameness_of
from barlowtf.experiment.same_images import CheckData, describe_images, require_same_images
from barlowtf.experiment.same_recipe import note_recipe, require_same_recipe
from barlowtf.experiment.settling import settled
from barlowtf.experiment.starting import find_start
from barlowtf.experiment.step_memory import require_memory
from barlowtf.experiment.training_data import log_alike_names, open_labeled, open_training_data, skipped_images
from barlowtf.experiment.training_job import Job, take_steps
from barlowtf.leaving import undone_by
from barlowtf.models import checkpoint
from barlowtf.models.fingerprint import weights_sha256
from barlowtf.models.saving import save_model
from barlowtf.records import RunInfo, RunSteps, read_metrics, write_record
from barlowtf.train.error_console import error_console
from barlowtf.train.interruption import Interruption
from barlowtf.train.requeue import requeueing
from barlowtf.train.stepping import count_steps_per_call, count_steps_per_epoch
from barlowtf.train.summary import lacks_measurements, summarize_metrics
from barlowtf.train.workers import barrier, require_agreement, shared_failures

_LOG = logging.getLogger("barlowtf")


@dataclass(frozen=True)
class PretrainRequest:
    """What to train, where, and on which devices.

    Attributes:
        recipe: Every setting of the run, see `barlowtf.config.load_recipe`.
        run_dir: The run folder, see `barlowtf.runs`. All workers must see the same one.
        strategy: "one", "mirrored", "multiworker" or "tpu", see `barlowtf.distribute.make_strategy`.
        replicas: With "mirrored" on a machine without GPUs: number of logical CPU devices.
        check_data: How the images of a resumed run are compared with those that it began with: "sample", by names,
            sizes and a sample of the bytes; "full", by all bytes, once they have been recorded; "off", other images are
            accepted, if their number is the same.
        console: Where the progress bar is drawn; None: standard error.
        timed_step_seconds: Seconds that a step took when it was timed (`choose_recipe`): it is said where the run takes
            much longer.
    """

    recipe: Recipe
    run_dir: Path
    strategy: str = "one"
    replicas: int | None = None
    check_data: CheckData = "sample"
    console: Console | None = None
    timed_step_seconds: float | None = None


def pretrain(request: PretrainRequest) -> RunInfo:
    """Pre-trains an encoder without labels; resumes where the folder holds an unfinished run of the recipe.

    A folder whose run has saved nothing takes any recipe, and the run begins anew; see `same_recipe`.

    Returns:
        The content of run.json. On a worker that is not the chief `result` is None: only the chief measures and writes.

    Raises:
        BarlowTFError: Input, run folder, machine or numbers do not allow the run to start or to continue.
        Interrupted: SIGINT, SIGTERM or SIGUSR1 came. What was finished is saved, and the same call resumes.
    """
    recipe = settle_loss(settled(request.recipe))
    check_encoder(recipe)
    strategy = make_strategy(request.strategy, request.replicas)
    chief = is_chief(strategy)
    # From here on: making the strategy of several workers takes SIGTERM away from Python.
    with (
        Interruption().listening() as interruption,
        shared_failures(request.run_dir, cluster_of(strategy)),
        requeueing(chief=chief),
    ):
        skipped = skipped_images(recipe)
        source = open_training_data(recipe)
        labeled = open_labeled(recipe, source) or ()  # Refused before anything is written.
        if labeled:
            log_alike_names(labeled[0])
        steps_per_epoch = count_steps_per_epoch(
            source.size,
            batch_size=recipe.train.batch_size,
            replicas=strategy.num_replicas_in_sync,
            micro_batch=recipe.train.micro_batch,
        )
        steps_per_call = count_steps_per_call(recipe.train.steps_per_call, strategy)
        facts = {"recipe": dump_recipe(recipe), "data fingerprint": source.fingerprint}
        require_agreement(strategy, {**facts, "data size": source.size})
        start = find_start(recipe, runs.RunFolder(request.run_dir))
        if recipe.train.deterministic:
            tf.config.experimental.enable_op_determinism()
        with strategy.scope():
            model = build_model(recipe, steps_per_epoch, start.weights)
            require_memory(recipe, model, strategy.num_replicas_in_sync, choosing.describe_machine())
        run = runs.open_run(request.run_dir, recipe) if chief else runs.RunFolder(request.run_dir)
        with runs.locked(run.path) if chief else nullcontext():
            changes = require_same_recipe(run, recipe) if chief else []
            images = describe_images(recipe.data.source, source, request.check_data if chief else "off", labeled)
            images = require_same_images(run, images, request.check_data)
            if chief:
                note_recipe(run, recipe, changes)
            finished = run.read_info() if run.finished else None
            require_agreement(strategy, {"whether the run is finished": finished is not None})
            if finished is not None:
                barrier(strategy)
                _LOG.info("%s is finished: nothing to do.", run.path)
                return finished if chief else finished.model_copy(update={"result": None})
            if chief:
                start.take_over(run)
            cluster = cluster_of(strategy)
            skipped.list_in(run.skipped(None if chief or cluster is None else cluster.index))
            require_agreement(strategy, {"the weights to start from": start.sha256})
            console = request.console or error_console()
            counts = (steps_per_epoch, steps_per_call)
            job = Job(
                recipe,
                run,
                start,
                strategy,
                source,
                images,
                model,
                *counts,
                interruption,
                console,
                skipped,
                request.timed_step_seconds,
            )
            return _train(job)


def _train(job: Job) -> RunInfo:
    """Restores, trains to the end and leaves the encoder; returns the content of run.json."""
    run, chief = job.run, is_chief(job.strategy)
    start_step = checkpoint.restore_state(run.checkpoints, checkpoint.training_state(job.model))
    require_agreement(job.strategy, {"the step to resume from": start_step})
    started, before = time.monotonic(), run.read_info()
    seconds_before = 0.0 if before is None else before.wall_seconds or 0.0
    failures = () if before is None else before.failures
    info = _describe(job, before).model_copy(update={"wall_seconds": seconds_before, "failures": failures})
    # The last epoch's measurements are missing where a run was killed between its last step and them.
    repeat_epoch_end = False
    if chief:
        _log_lost_steps(run, start_step)
        # A run that starts at step 0 measures its first encoder anew.
        runs.forget_after(run.metrics, start_step if start_step else -1)
        repeat_epoch_end = lacks_measurements(run.metrics, start_step, job.steps_per_epoch)
        write_record(run.info, info)
        _log_start(job, start_step)
    with undone_by(lambda _: _note_interruption(run, chief)):
        try:
            return _to_the_end(job, start_step, repeat_epoch_end, info, seconds_before, started)
        except Exception:
            # A full disk may be the very error.
            with suppress(OSError, CheckpointError):
                _note_interruption(run, chief)
            raise


def _note_interruption(run: runs.RunFolder, chief: bool) -> None:
    """Says in run.json that a run is not running any more, where a signal ends it at once."""
    info = run.read_info()
    if chief and info is not None and info.status == "running":
        write_record(run.info, info.model_copy(update={"status": "interrupted"}))


def _to_the_end(
    job: Job, start_step: int, repeat_epoch_end: bool, info: RunInfo, seconds_before: float, started: float
) -> RunInfo:
    """Trains, measures and leaves the encoder; returns the content of run.json."""
    run, chief = job.run, is_chief(job.strategy)
    try:
        finished_step = take_steps(job, start_step, repeat_epoch_end)
    except (CheckpointError, DataError, TrainingError) as error:
        if chief:
            keep_failure(run, info, error)
        raise
    barrier(job.strategy)
    info = info.model_copy(update={"wall_seconds": round(seconds_before + time.monotonic() - started, 1)})
    # Also after the last step: its measurements are then still to be made.
    if finished_step < job.total_steps or job.model.stop_training:
        if chief:
            write_record(run.info, info.model_copy(update={"status": "interrupted"}))
        raise _interrupted(job, finished_step)
    info = info.model_copy(update={"status": "finished", "peak_memory_bytes": peak_memory_bytes()})
    if chief:
        save_model(job.model.projector, run.projector)
        save_model(job.model.encoder, run.encoder)
        if job.recipe.checkpoint.keep_best is not None:
            _save_best(run)
        width = job.recipe.model.projector[-1]
        measure = job.recipe.checkpoint.keep_best
        result = summarize_metrics(
            run.metrics, steps_per_epoch=job.steps_per_epoch, embedding_width=width, keep_best=measure
        )
        info = info.model_copy(update={"result": result, "encoder_sha256": weights_sha256(job.model.encoder)})
        write_record(run.info, info)
    return info


def _describe(job: Job, before: RunInfo | None) -> RunInfo:
    """Returns run.json as it is when the run starts, or goes on from what it was before."""
    return RunInfo(
        **dict(describe_surroundings(job.strategy)),
        status="running",
        data=job.images.model_copy(update={"sameness": sameness_of(job.source, before)}),
        steps=RunSteps(total=job.total_steps, per_epoch=job.steps_per_epoch),
        parameters=job.model.count_params(),
        loss_terms=job.model.loss_terms,
        init=job.start.init,
        parent=job.start.parent,
    )


def _save_best(run: runs.RunFolder) -> None:
    """Writes encoder and projector after the best epoch, where one was measured."""
    if not checkpoint.list_checkpoints(run.best):
        return
    best = restore_parts(run, "best")
    save_model(best.projector, runs.projector_beside(run.best_encoder))
    save_model(best.encoder, run.best_encoder)


def _log_start(job: Job, start_step: int) -> None:
    if start_step:
        _LOG.info("Resuming %s after step %d of %d.", job.run.path, start_step, job.total_steps)
    if start_step < job.frozen_steps:
        _LOG.info("The encoder stays as it is until step %d: the projector learns alone.", job.frozen_steps)
    left_out = job.source.size - job.steps_per_epoch * job.recipe.train.batch_size
    if left_out:
        _LOG.info("%d of %d images are left out of each epoch, others each time.", left_out, job.source.size)


def _log_lost_steps(run: runs.RunFolder, start_step: int) -> None:
    """Logs how many steps were taken before and not saved."""
    recorded = max((line["step"] for line in read_metrics(run.metrics)), default=0)
    if recorded > start_step:
        _LOG.info(
            "%s ended after step %d or later with %s: at least %d steps are lost, and are taken again.",
            run.path,
            recorded,
            f"step {start_step} saved" if start_step else "nothing saved",
            recorded - start_step,
        )


def _interrupted(job: Job, step: int) -> Interrupted:
    """Returns the error that ends an interrupted run, on every worker."""
    # A worker that received no signal itself stops because another one did.
    number = job.interruption.received or signal.SIGTERM
    text = f"Stopped by {number.name} after step {step} of {job.total_steps}, saved. The same command resumes."
    return Interrupted(text if is_chief(job.strategy) else "", number)
