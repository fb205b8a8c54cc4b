"""The parts of a run, each made from its section of the recipe."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console

from barlowtf import augment, data
from barlowtf.config import Recipe
from barlowtf.distribute import cluster_of, is_chief
from barlowtf.errors import ConfigError
from barlowtf.runs import RunFolder
from barlowtf.train import callbacks

# Images that the collapse monitor looks at, and the batch in which features are extracted.
_MONITORED_IMAGES = 256
_EVALUATION_BATCH = 256


def count_steps_per_epoch(recipe: Recipe, source: data.Source, strategy: tf.distribute.Strategy) -> int:
    """Returns the whole batches in the data set.

    Raises:
        DataError: The batch is larger than the data set.
        ConfigError: The batch does not divide over the replicas.
    """
    batch_size, replicas = recipe.train.batch_size, strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise ConfigError(
            f"train.batch_size = {batch_size} does not divide over {replicas} replicas. Choose a multiple."
        )
    if replicas > 1 and recipe.train.micro_batch is not None:
        raise ConfigError(
            f"train.micro_batch = {recipe.train.micro_batch} is for one device, received {replicas} replicas. "
            "Set it to none, or use --strategy one."
        )
    return data.steps_per_epoch(source.size, batch_size)


def open_training_data(recipe: Recipe) -> data.Source:
    """Returns the training images, in memory where they are small."""
    return data.preload(data.open_source(recipe.data.source, "train"), recipe.data.channels)


def make_batches(
    recipe: Recipe, source: data.Source, strategy: tf.distribute.Strategy, start_step: int, total_steps: int
) -> data.TrainingBatches:
    """Returns the batches of the steps from `start_step` on: (crops a, crops b, seeds), per replica."""
    crop = augment.CropPlan(
        size=(recipe.augment.size, recipe.augment.size), area=recipe.augment.area, aspect=recipe.augment.aspect
    )
    plan = data.BatchPlan(
        batch_size=recipe.train.batch_size,
        channels=recipe.data.channels,
        seed=recipe.train.seed,
        crop=crop,
        start_step=start_step,
        total_steps=total_steps,
    )
    return data.TrainingBatches(
        source, plan, strategy=strategy, pairs=recipe.train.pairs, max_unreadable=recipe.data.max_unreadable
    )


def make_callbacks(
    recipe: Recipe,
    run: RunFolder,
    source: data.Source,
    strategy: tf.distribute.Strategy,
    console: Console,
    stop: callbacks.StopOnRequest,
) -> list[keras.callbacks.Callback]:
    """Returns what watches the run, in the order in which it must act: stop, measure, write, show, save.

    Of several workers only the chief measures, writes, shows and saves.
    """
    if not is_chief(strategy):
        return [callbacks.StopOnNonFinite(), stop]
    steps_per_epoch = count_steps_per_epoch(recipe, source, strategy)
    every = recipe.monitor
    step_metrics = callbacks.StepMetrics(
        every_steps=every.every_steps,
        batch_size=recipe.train.batch_size,
        steps_per_epoch=steps_per_epoch,
        embedding_width=recipe.model.projector[-1],
    )
    saver = callbacks.SaveCheckpoints(
        run.checkpoints,
        every_steps=recipe.checkpoint.every_steps,
        every_minutes=recipe.checkpoint.every_minutes,
        keep=recipe.checkpoint.keep,
    )
    return [
        callbacks.StopOnNonFinite(),
        stop,
        step_metrics,
        # Several workers stop after a step that they take together, so their chief cannot leave a measurement.
        *make_monitors(recipe, source, stop.requested if cluster_of(strategy) is None else lambda: False),
        callbacks.JsonLines(run.metrics),
        callbacks.TensorBoardWriter(run.tensorboard),
        callbacks.Progress(total_steps=recipe.train.epochs * steps_per_epoch, console=console),
        saver,
    ]


def make_monitors(
    recipe: Recipe, source: data.Source, stop_requested: Callable[[], bool]
) -> list[keras.callbacks.Callback]:
    """Returns the monitors that look at images: collapse, and kNN where there are labels."""
    every, monitors = recipe.monitor, []
    if every.collapse_every_epochs is not None:
        view_a, view_b = first_views(recipe, source, _MONITORED_IMAGES)
        mean, std = recipe.augment.mean, recipe.augment.std
        monitors.append(
            callbacks.CollapseMonitor(view_a, view_b, every_epochs=every.collapse_every_epochs, mean=mean, std=std)
        )
    if every.knn_every_epochs is not None and source.has_labels:
        monitors.append(_make_knn(recipe, source, stop_requested))
    return monitors


def first_views(recipe: Recipe, source: data.Source, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns both views of the first images of the run, float32 [M, S, S, C], normalized; M <= count."""
    batches = make_batches(recipe, source, tf.distribute.get_strategy(), 0, 1)
    layer = augment.TwoViews(recipe.augment, recipe.data.channels)
    # Of several pairs the first: the images themselves do not repeat within it.
    count = min(count, recipe.train.batch_size)
    crops_a, crops_b, seeds = (tensor[:count] for tensor in next(batches))
    view_a, view_b = layer((crops_a, crops_b, seeds))
    return view_a.numpy(), view_b.numpy()


def _make_knn(recipe: Recipe, source: data.Source, stop_requested: Callable[[], bool]) -> callbacks.KNNMonitor:
    """Returns the kNN monitor: labelled training images as bank, test images, where there are any, as queries."""
    every, seed = recipe.monitor, recipe.train.seed
    test = data.open_source(recipe.data.source, "test")
    if test is None or not test.has_labels:
        # Without a test split the training images are halved: their labels are unseen, their pixels are not.
        shuffled = data.sample_ids(source.size, every.knn_bank + every.knn_queries, seed=seed)
        test, query_ids, bank_ids = source, shuffled[::2][: every.knn_queries], shuffled[1::2][: every.knn_bank]
    else:
        bank_ids = data.sample_ids(source.size, every.knn_bank, seed=seed)
        query_ids = data.sample_ids(test.size, every.knn_queries, seed=seed)
    bank_labels, query_labels = source.labels_of(bank_ids), test.labels_of(query_ids)
    return callbacks.KNNMonitor(
        (_normalized_views(recipe, source, bank_ids), bank_labels),
        (_normalized_views(recipe, test, query_ids), query_labels),
        every_epochs=every.knn_every_epochs,
        total_epochs=recipe.train.epochs,
        neighbors=min(every.knn_neighbors, len(bank_ids)),
        temperature=every.knn_temperature,
        class_count=int(max(bank_labels.max(), query_labels.max())) + 1,
        stop_requested=stop_requested,
    )


def _normalized_views(recipe: Recipe, source: data.Source, ids: np.ndarray) -> tf.data.Dataset:
    """Returns batches of center views, float32 [n, S, S, C], normalized."""
    views = data.center_views(
        source, ids, size=recipe.augment.evaluated_size, channels=recipe.data.channels, batch_size=_EVALUATION_BATCH
    )
    mean, std = recipe.augment.mean, recipe.augment.std
    return views.map(lambda images: augment.normalize(tf.cast(images, tf.float32) / 255.0, mean, std))
