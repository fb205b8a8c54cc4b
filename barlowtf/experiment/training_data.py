"""The images of a run and what is made of them: batches of crops, first views, center views."""

import functools

import numpy as np
import tensorflow as tf

from barlowtf import augment, data
from barlowtf.config import Recipe
from barlowtf.config.schema import Augment
from barlowtf.experiment.data import open_split

# The batch in which features are extracted.
_EVALUATION_BATCH = 256


def open_training_data(recipe: Recipe) -> data.Source:
    """Returns the training images, in memory where they are small."""
    return data.preload(open_split(recipe.data.source, "train"), recipe.data.channels)


def make_batches(
    recipe: Recipe, source: data.Source, strategy: tf.distribute.Strategy, start_step: int, total_steps: int
) -> data.CropBatches:
    """Returns the batches of the steps from `start_step` on: (crops a, crops b, seeds), per replica."""
    return data.CropBatches(
        source,
        draw=functools.partial(_draw, recipe.train.seed),
        crop=functools.partial(_crop, recipe.augment),
        crop_batch=functools.partial(_crop_batch, recipe.augment),
        batch_size=recipe.train.batch_size,
        channels=recipe.data.channels,
        seed=recipe.train.seed,
        start_step=start_step,
        total_steps=total_steps,
        max_unreadable=recipe.data.max_unreadable,
        pairs=recipe.train.pairs,
        strategy=strategy if strategy.num_replicas_in_sync > 1 else None,
    )


def _draw(seed: int, ids: tf.Tensor, epoch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the seeds of examples, int32 [n, 2], and the numbers that place both crops, float32 [n, 2, K]."""
    seeds = augment.example_seeds(seed, epoch, ids)
    both = [augment.uniforms(seeds, stream, augment.CROP_DRAWS) for stream in (augment.CROP_A, augment.CROP_B)]
    return seeds, tf.stack(both, axis=1)


def _crop(settings: Augment, image: tf.Tensor, uniforms: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns both crops of one image, uint8 [H, W, C] and float32 [2, K] -> uint8 [S, S, C] each."""
    height, width = tf.unstack(tf.shape(image)[:2])
    boxes = augment.draw_boxes(uniforms, height, width, settings.area, settings.aspect)
    size = (settings.size, settings.size)
    return augment.crop_and_resize(image, boxes[0], size), augment.crop_and_resize(image, boxes[1], size)


def _crop_batch(settings: Augment, images: tf.Tensor, uniforms: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns both crops of images of one size, uint8 [n, H, W, C] and float32 [n, 2, K] -> uint8 [n, S, S, C] each."""
    height, width = images.shape[1:3]
    floats = tf.cast(images, tf.float32) / 255.0

    def view(numbers: tf.Tensor) -> tf.Tensor:
        boxes = augment.draw_boxes(numbers, height, width, settings.area, settings.aspect)
        crops = augment.random_resized_crop(floats, boxes, (settings.size, settings.size))
        return tf.cast(tf.round(crops * 255.0), tf.uint8)

    return view(uniforms[:, 0]), view(uniforms[:, 1])


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
