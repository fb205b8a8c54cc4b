"""The images of a run and what is made of them: batches of crops, first views, center views."""

from dataclasses import replace

import numpy as np
import tensorflow as tf

from barlowtf import augment, data
from barlowtf.config import Recipe
from barlowtf.experiment.data import open_split

# The batch in which features are extracted.
_EVALUATION_BATCH = 256


def open_training_data(recipe: Recipe) -> data.Source:
    """Returns the training images, in memory where they are small."""
    source = open_split(recipe.data.source, "train")
    return data.preload(source, recipe.data.channels, rendering=data.rendering_of(recipe.data))


def make_batches(
    recipe: Recipe, source: data.Source, strategy: tf.distribute.Strategy, start_step: int, total_steps: int
) -> data.TrainingBatches:
    """Returns the batches of the steps from `start_step` on, per replica: the input of `augment.TwoViews`."""
    settings = recipe.augment
    crop = augment.CropPlan(
        size=(settings.size, settings.size), area=settings.area, aspect=settings.aspect, window=settings.window
    )
    small = replace(crop, size=(settings.local.size, settings.local.size), area=settings.local.area)
    plan = data.BatchPlan(
        batch_size=recipe.train.batch_size,
        channels=recipe.data.channels,
        seed=recipe.train.seed,
        crop=crop,
        start_step=start_step,
        total_steps=total_steps,
        local=data.LocalPlan(small, settings.local.count) if settings.local.count else None,
        first_epoch=0 if recipe.parent is None else recipe.parent.epochs,
        rendering=data.rendering_of(recipe.data),
    )
    return data.TrainingBatches(
        source, plan, strategy=strategy, pairs=recipe.train.pairs, max_unreadable=recipe.data.max_unreadable
    )


def first_views(recipe: Recipe, source: data.Source, count: int) -> tuple[np.ndarray, ...]:
    """Returns both views of the first images of the run, float32 [M, S, S, C], normalized; M <= count.

    Where there are local views, they are the third, [K, M, s, s, C].
    """
    batches = make_batches(recipe, source, tf.distribute.get_strategy(), 0, 1)
    layer = augment.TwoViews(recipe.augment, recipe.data.channels)
    # Of several pairs the first: the images themselves do not repeat within it.
    count = min(count, recipe.train.batch_size)
    view_a, view_b, *local = layer(tuple(tensor[:count] for tensor in next(batches)))
    small = (tf.reshape(views, [-1, count, *views.shape[1:]]) for views in local)
    return tuple(views.numpy() for views in (view_a, view_b, *small))


def normalized_views(recipe: Recipe, source: data.Source, ids: np.ndarray) -> tf.data.Dataset:
    """Returns batches of center views, float32 [n, S, S, C], normalized."""
    views = data.center_views(
        source,
        ids,
        size=recipe.augment.evaluated_size,
        channels=recipe.data.channels,
        batch_size=_EVALUATION_BATCH,
        rendering=data.rendering_of(recipe.data),
    )
    mean, std = recipe.augment.mean, recipe.augment.std
    return views.map(lambda images: augment.normalize(augment.unit_range(images), mean, std))
