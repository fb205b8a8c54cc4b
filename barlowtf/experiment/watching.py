"""What watches a run: measurements, files, the progress bar, checkpoints."""

from collections.abc import Callable, Iterator

import keras
import tensorflow as tf
from rich.console import Console

from barlowtf import data, runs
from barlowtf.config import Recipe, dump_recipe, flat_settings
from barlowtf.distribute import is_chief
from barlowtf.experiment.training_data import (
    FixedViews,
    first_views,
    normalized_views,
    open_labeled,
    skipped_images,
)
from barlowtf.models import BarlowTwins
from barlowtf.train import callbacks
from barlowtf.train.best import CRITERIA
from barlowtf.train.monitors import make_knn_monitor

# Images that the collapse monitor measures, pairs of views of each, and images whose views it shows.
_MONITORED_IMAGES, _MONITORED_PAIRS, _SHOWN_IMAGES = 256, 2, 8


def make_callbacks(
    recipe: Recipe,
    run: runs.RunFolder,
    source: data.Source,
    strategy: tf.distribute.Strategy,
    model: BarlowTwins,
    console: Console,
    stop: callbacks.StopOnRequest,
    skipped: data.SkippedImages | None = None,
) -> list[keras.callbacks.Callback]:
    """Returns what watches a run, in the order in which it must act: stop, measure, write, show, save.

    Of several workers only the chief measures, writes, shows and saves.
    """
    if not is_chief(strategy):
        return [stop]
    skipped = skipped_images(recipe) if skipped is None else skipped
    steps_per_epoch = source.size // recipe.train.batch_size
    total_steps = recipe.train.epochs * steps_per_epoch
    recorder = callbacks.Recorder()
    # Several workers stop after a step that they take together, so their chief cannot leave a measurement.
    stop_requested = stop.requested if stop.stop_request is None else lambda: False
    step_metrics = callbacks.StepMetrics(
        recorder,
        every_steps=recipe.monitor.every_steps,
        batch_size=recipe.train.batch_size,
        steps_per_epoch=steps_per_epoch,
        total_steps=total_steps,
        loss_terms=model.loss_terms,
        embedding_width=recipe.model.projector[-1],
    )
    save = callbacks.SaveCheckpoints(
        run.checkpoints,
        every_steps=recipe.checkpoint.every_steps,
        every_minutes=recipe.checkpoint.every_minutes,
        keep=recipe.checkpoint.keep,
    )
    measure, best = recipe.checkpoint.keep_best, []
    if measure is not None:
        best = [callbacks.KeepBest(run.best, recorder, save, criterion=CRITERIA[measure], metrics=run.metrics)]
    return callbacks.in_order(
        [
            stop,
            recorder,
            step_metrics,
            *_make_monitors(recipe, source, recorder, stop_requested, skipped),
            callbacks.JsonLines(run.metrics, recorder),
            callbacks.TensorBoardWriter(
                run.tensorboard, recorder, recipe=dump_recipe(recipe), settings=flat_settings(recipe)
            ),
            callbacks.Progress(recorder, total_steps=total_steps, console=console),
            *best,
            save,
        ]
    )


def _make_monitors(
    recipe: Recipe,
    source: data.Source,
    recorder: callbacks.Recorder,
    stop_requested: Callable[[], bool],
    skipped: data.SkippedImages,
) -> Iterator[callbacks.Monitor]:
    """Yields the monitors that look at images: collapse, and kNN where there are labels."""
    every = recipe.monitor
    if every.collapse_every_epochs is not None:
        view_a, view_b, *local = first_views(recipe, source, _SHOWN_IMAGES, skipped)
        shown = {"view_pairs": [view_a, view_b]}
        if local:
            shown["local_views"] = list(local[0])
        yield callbacks.CollapseMonitor(
            recorder,
            FixedViews(recipe, source, _MONITORED_IMAGES, pairs=_MONITORED_PAIRS, skipped=skipped),
            shown=shown,
            every_epochs=every.collapse_every_epochs,
            total_epochs=recipe.train.epochs,
            mean=recipe.augment.mean,
            std=recipe.augment.std,
        )
    found = None if every.knn_every_epochs is None else open_labeled(recipe, source)
    if every.knn_every_epochs is not None and found is not None:
        monitor = make_knn_monitor(
            recorder,
            *found,
            views=lambda images, ids: normalized_views(recipe, images, ids, skipped),
            bank_size=every.knn_bank,
            query_count=every.knn_queries,
            seed=recipe.train.seed,
            every_epochs=every.knn_every_epochs,
            total_epochs=recipe.train.epochs,
            neighbors=every.knn_neighbors,
            temperature=every.knn_temperature,
            probe=every.probe,
            stop_requested=stop_requested,
        )
        if monitor is not None:
            yield monitor
