"""Normalization of pixel values to the mean and standard deviation of a data set."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from barlowtf.augment.planes import check_images


def unit_range(images: tf.Tensor) -> tf.Tensor:
    """Returns uint8 or uint16 pixels as float32 in [0, 1], of the same shape."""
    images = tf.convert_to_tensor(images)
    return tf.cast(images, tf.float32) / float(images.dtype.max)


def normalize(images: tf.Tensor, mean: Sequence[float], std: Sequence[float]) -> tf.Tensor:
    """Returns (images - mean) / std.

    Args:
        images: float32 [N, H, W, C] in [0, 1].
        mean: One value per channel, or one for all.
        std: Like `mean`, > 0.

    Returns:
        float32 [N, H, W, C].

    Raises:
        ValueError: `images` is not float32 of rank 4, or the number of values is neither 1 nor C.
    """
    images = check_images(images)
    scale, offset = scale_and_offset(mean, std, images.shape[-1])
    return images * scale + offset


def scale_and_offset(mean: Sequence[float], std: Sequence[float], channels: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns float32 [1 or C] factors with normalized = pixel * scale + offset.

    Raises:
        ValueError: The number of values is neither 1 nor `channels`.
    """
    if len(mean) != len(std) or len(mean) not in (1, channels):
        raise ValueError(
            f"Invalid mean and std: received {len(mean)} and {len(std)} values, expected 1 or {channels} each."
        )
    scale = [1.0 / deviation for deviation in std]
    offset = [-center / deviation for center, deviation in zip(mean, std, strict=True)]
    # What is too large becomes infinite, and the first step says so.
    with np.errstate(over="ignore"):
        return tf.constant(scale, tf.float32), tf.constant(offset, tf.float32)
