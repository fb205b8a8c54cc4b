"""Batches of random crops of labeled images, for a probe."""

import functools
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from barlowtf import augment, data
from barlowtf.data import Labeled

# The crop's stream of pre-training; the numbers behind it in the same stream decide about the mirror image.
_DRAWS = augment.CROP_DRAWS + 1


def probe_batches(
    train: Labeled,
    strategy: tf.distribute.Strategy,
    *,
    image_shape: tuple[int, int, int],
    batch_size: int,
    area: tuple[float, float],
    aspect: tuple[float, float],
    flip: float,
    seed: int,
    start_step: int,
    total_steps: int,
) -> Iterator[Any]:
    """Yields the batches of the steps from `start_step` on, cut into as many near-equal shares as there are replicas.

    Args:
        train: The images.
        strategy: Its replicas get the shares.
        image_shape: Height, width and channels of a crop.
        batch_size: Global batch, images per step; the last batch of an epoch may be smaller.
        area: Range of the crop's share of the image's area.
        aspect: Range of the crop's width / height.
        flip: Probability of a mirror image.
        seed: Seed of order and crops.
        start_step: The first step, >= 0.
        total_steps: The step after the last.
    """
    size = image_shape[:2]
    settings = (area, aspect, flip)
    batches = data.labeled_batches(
        train,
        crop_one=functools.partial(_crop_one, settings, seed, size),
        crop_many=functools.partial(_crop_many, settings, seed, size),
        batch_size=batch_size,
        channels=image_shape[2],
        seed=seed,
        start_step=start_step,
        total_steps=total_steps,
    )
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return batches
    return (_shares(strategy, batch, replicas) for batch in batches)


def _shares(strategy: tf.distribute.Strategy, batch: tuple[tf.Tensor, tf.Tensor], replicas: int) -> tuple[Any, Any]:
    def share(part: tf.Tensor) -> Any:
        pieces = [part[index::replicas] for index in range(replicas)]
        return strategy.experimental_distribute_values_from_function(
            lambda context: pieces[context.replica_id_in_sync_group]
        )

    images, labels = batch
    return share(images), share(labels)


def _draw(seed: int, numbers: tf.Tensor, epoch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns what places the crops, float32 [n, CROP_DRAWS], and what decides about mirror images, float32 [n]."""
    seeds = augment.example_seeds(seed, epoch, numbers)
    uniforms = augment.uniforms(seeds, augment.CROP_A, _DRAWS)
    return uniforms[:, :-1], uniforms[:, -1]


def _crop_one(
    settings: Any, seed: int, size: tuple[int, int], image: tf.Tensor, number: tf.Tensor, epoch: tf.Tensor
) -> tf.Tensor:
    """Returns the crop of one image, uint8 [H, W, C] -> uint8 [S, S, C]."""
    area, aspect, flip = settings
    place, mirror = _draw(seed, number[None], epoch)
    height, width = tf.unstack(tf.shape(image)[:2])
    box = augment.draw_boxes(place, height, width, area, aspect)[0]
    crop = augment.crop_and_resize(image, box, size, interpolation="bilinear")
    return tf.where(mirror[0] < flip, crop[:, ::-1], crop)


def _crop_many(
    settings: Any, seed: int, size: tuple[int, int], images: tf.Tensor, numbers: tf.Tensor, epoch: tf.Tensor
) -> tf.Tensor:
    """Returns the crops of images of one size, uint8 [n, H, W, C] -> uint8 [n, S, S, C]."""
    area, aspect, flip = settings
    place, mirror = _draw(seed, numbers, epoch)
    height, width = images.shape[1:3]
    boxes = augment.draw_boxes(place, height, width, area, aspect)
    floats = tf.cast(images, tf.float32) / 255.0
    crops = augment.random_resized_crop(floats, boxes, size, interpolation="bilinear")
    crops = tf.where((mirror < flip)[:, None, None, None], crops[:, :, ::-1], crops)
    return tf.cast(tf.round(crops * 255.0), tf.uint8)
