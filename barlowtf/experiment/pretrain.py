"""`barlowtf pretrain`, top to bottom: recipe -> strategy -> data -> model -> training -> encoder."""

import logging
import signal
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf
from rich.console import Console

from barlowtf import choosing, data, runs
from barlowtf.config import Recipe, dump_recipe
from barlowtf.distribute import cluster_of, describe_surroundings, is_chief, make_strategy, peak_memory_bytes
from barlowtf.encoders.building import build_model, check_encoder, settle_loss
from barlowtf.encoders.restoring import restore_parts
from barlowtf.errors import BarlowTFError, CheckpointError, DataError, Interrupted, TrainingError
from barlowtf.experiment.same_images import CheckData, describe_images, require_same_images
from barlowtf.experiment.settling import settled
from barlowtf.experiment.starting import Start, find_start
from barlowtf.experiment.step_memory import require_memory
from barlowtf.experiment.training_data import make_batches, open_labeled, open_training_data
from barlowtf.experiment.watching import make_callbacks
from barlowtf.models import BarlowTwins, checkpoint
from barlowtf.models.fingerprint import weights_sha256
from barlowtf.models.saving import save_model
from barlowtf.records import RunData, RunInfo, RunSteps, write_record
from barlowtf.train import callbacks, loop
from barlowtf.train.error_console import error_console
from barlowtf.train.failures import explained_failures
from barlowtf.train.interruption import Interruption
from barlowtf.train.requeue import requeueing
from barlowtf.train.stepping import FrozenPhase, count_steps_per_call, count_steps_per_epoch, group_batches, make_step
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
            sizes and a sample of the bytes; "full", by all bytes, once they have been recorded; "off", as many other
            images are accepted.
        console: Where the progress bar is drawn; None: standard error.
    """

    recipe: Recipe
    run_dir: Path
    strategy: str = "one"
    replicas: int | None = None
    check_data: CheckData = "sample"
    console: Console | None = None


def pretrain(request: PretrainRequest) -> RunInfo:
    """Pre-trains an encoder without labels; resumes where the folder holds an unfinished run of the recipe.

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
        source = open_training_data(recipe)
        open_labeled(recipe, source)  # Refused before anything is written.
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
            images = describe_images(recipe.data.source, source, request.check_data if chief else "off")
            images = require_same_images(run, images, request.check_data)
            if chief:
                runs.note_source(run, recipe)
            finished = run.read_info() if run.finished else None
            require_agreement(strategy, {"whether the run is finished": finished is not None})
            if finished is not None:
                barrier(strategy)
                _LOG.info("%s is finished: nothing to do.", run.path)
                return finished if chief else finished.model_copy(update={"result": None})
            if chief:
                start.take_over(run)
            require_agreement(strategy, {"the weights to start from": start.sha256})
            console = request.console or error_console()
            counts = (steps_per_epoch, steps_per_call)
            return _train(_Job(recipe, run, start, strategy, source, images, model, *counts, interruption, console))


@dataclass(frozen=True)
class _Job:
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

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.recipe.train.epochs * self.steps_per_epoch

    @property
    def frozen_steps(self) -> int:
        """Steps at the beginning that leave the encoder as it is."""
        return self.recipe.train.freeze_encoder_epochs * self.steps_per_epoch


def _train(job: _Job) -> RunInfo:
    """Restores, trains to the end and leaves the encoder; returns the content of run.json."""
    run, chief = job.run, is_chief(job.strategy)
    start_step = checkpoint.restore_state(run.checkpoints, checkpoint.training_state(job.model))
    require_agreement(job.strategy, {"the step to resume from": start_step})
    started, before = time.monotonic(), run.read_info()
    seconds_before = 0.0 if before is None else before.wall_seconds or 0.0
    failures = () if before is None else before.failures
    info = _describe(job).model_copy(update={"wall_seconds": seconds_before, "failures": failures})
    # The last epoch's measurements are missing where a run was killed between its last step and them.
    repeat_epoch_end = False
    if chief:
        # A run that starts at step 0 measures its first encoder anew.
        runs.forget_after(run.metrics, start_step if start_step else -1)
        repeat_epoch_end = lacks_measurements(run.metrics, start_step, job.steps_per_epoch)
        write_record(run.info, info)
        _log_start(job, start_step)
    try:
        finished_step = _take_steps(job, start_step, repeat_epoch_end)
    except (CheckpointError, DataError, TrainingError) as error:
        if chief:
            _keep_failure(run, info, error)
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


def _keep_failure(run: runs.RunFolder, info: RunInfo, error: BarlowTFError) -> None:
    """Notes in run.json what ends the run, for `barlowtf doctor`."""
    failures = (*info.failures, " ".join(str(error).split()))
    # A full disk may be the very error.
    with suppress(OSError):
        write_record(run.info, info.model_copy(update={"status": "interrupted", "failures": failures}))


def _take_steps(job: _Job, start_step: int, repeat_epoch_end: bool) -> int:
    """Trains to the end or to a signal; returns the number of finished steps."""
    recipe = job.recipe
    stop_request = tf.Variable(0.0, trainable=False) if cluster_of(job.strategy) else None
    stop = callbacks.StopOnRequest(job.interruption.requested, stop_request)
    watchers = make_callbacks(recipe, job.run, job.source, job.strategy, job.model, job.console, stop)
    step_function = make_step(
        job.model,
        job.strategy,
        xla=recipe.train.xla,
        deterministic=recipe.train.deterministic,
        steps_per_call=job.steps_per_call,
        stop_request=stop_request,
        frozen=FrozenPhase(job.frozen_steps, start_step, job.steps_per_epoch),
    )
    batches = group_batches(
        make_batches(recipe, job.source, job.strategy, start_step, job.total_steps),
        job.strategy,
        start_step=start_step,
        steps_per_epoch=job.steps_per_epoch,
        per_call=job.steps_per_call,
    )
    try:
        with job.interruption.finishing_steps(), explained_failures(job.run.path, recipe.train.batch_size):
            return loop.train(
                job.model,
                step_function,
                batches,
                start_step=start_step,
                total_steps=job.total_steps,
                steps_per_epoch=job.steps_per_epoch,
                steps_per_call=job.steps_per_call,
                callbacks=watchers,
                repeat_epoch_end=repeat_epoch_end,
            )
    finally:
        for watcher in watchers:
            if hasattr(watcher, "close"):
                watcher.close()


def _describe(job: _Job) -> RunInfo:
    """Returns run.json as it is when the run starts."""
    return RunInfo(
        **dict(describe_surroundings(job.strategy)),
        status="running",
        data=job.images,
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


def _log_start(job: _Job, start_step: int) -> None:
    if start_step:
        _LOG.info("Resuming %s after step %d of %d.", job.run.path, start_step, job.total_steps)
    if start_step < job.frozen_steps:
        _LOG.info("The encoder stays as it is until step %d: the projector learns alone.", job.frozen_steps)
    left_out = job.source.size - job.steps_per_epoch * job.recipe.train.batch_size
    if left_out:
        _LOG.info("%d of %d images are left out of each epoch, others each time.", left_out, job.source.size)


def _interrupted(job: _Job, step: int) -> Interrupted:
    """Returns the error that ends an interrupted run, on every worker."""
    # A worker that received no signal itself stops because another one did.
    number = job.interruption.received or signal.SIGTERM
    text = f"Stopped by {number.name} after step {step} of {job.total_steps}, saved. The same command resumes."
    return Interrupted(text if is_chief(job.strategy) else "", number)
