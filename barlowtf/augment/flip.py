"""Horizontal flip."""

import tensorflow as tf

from barlowtf.augment.planes import check_images


def flip(images: tf.Tensor) -> tf.Tensor:
    """Returns all images mirrored left to right.

    Args:
        images: float32 [N, H, W, C].

    Returns:
        float32 [N, H, W, C].

    Raises:
        ValueError: `images` is not float32 of rank 4.
    """
    return tf.reverse(check_images(images), axis=[2])
