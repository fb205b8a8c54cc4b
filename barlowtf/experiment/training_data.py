"""The images of a run and what is made of them: batches of crops, first views, center views."""

import numpy as np
import tensorflow as tf

from barlowtf import augment, data
from barlowtf.config import Recipe
from barlowtf.experiment.data import open_split

# The batch in which features are extracted.
_EVALUATION_BATCH = 256


def open_training_data(recipe: Recipe) -> data.Source:
    """Returns the training images, in memory where they are small."""
    return data.preload(open_split(recipe.data.source, "train"), recipe.data.channels)


def make_batches(
    recipe: Recipe, source: data.Source, strategy: tf.distribute.Strategy, start_step: int, total_steps: int
) -> data.TrainingBatches:
    """Returns the batches of the steps from `start_step` on: (crops a, crops b, seeds), per replica."""
    crop = augment.CropPlan(
        size=(recipe.augment.size, recipe.augment.size),
        area=recipe.augment.area,
        aspect=recipe.augment.aspect,
        window=recipe.augment.window,
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


def first_views(recipe: Recipe, source: data.Source, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns both views of the first images of the run, float32 [M, S, S, C], normalized; M <= count."""
    batches = make_batches(recipe, source, tf.distribute.get_strategy(), 0, 1)
    layer = augment.TwoViews(recipe.augment, recipe.data.channels)
    # Of several pairs the first: the images themselves do not repeat within it.
    count = min(count, recipe.train.batch_size)
    crops_a, crops_b, seeds = (tensor[:count] for tensor in next(batches))
    view_a, view_b = layer((crops_a, crops_b, seeds))
    return view_a.numpy(), view_b.numpy()


def normalized_views(recipe: Recipe, source: data.Source, ids: np.ndarray) -> tf.data.Dataset:
    """Returns batches of center views, float32 [n, S, S, C], normalized."""
    views = data.center_views(
        source, ids, size=recipe.augment.evaluated_size, channels=recipe.data.channels, batch_size=_EVALUATION_BATCH
    )
    mean, std = recipe.augment.mean, recipe.augment.std
    return views.map(lambda images: augment.normalize(tf.cast(images, tf.float32) / 255.0, mean, std))
