"""Solarization: bright pixels are inverted."""

import tensorflow as tf

from barlowtf.augment.planes import check_images, per_example


def solarize(images: tf.Tensor, threshold: tf.Tensor | float = 128 / 255) -> tf.Tensor:
    """Returns images whose values at or above a threshold are inverted.

    Args:
        images: float32 [N, H, W, C] in [0, 1].
        threshold: [N] or scalar, in [0, 1]. Default: the authors' code.

    Returns:
        float32 [N, H, W, C] in [0, 1].

    Raises:
        ValueError: `images` is not float32 of rank 4.

    Source: Pillow ImageOps.solarize, as facebookresearch/barlowtwins main.py uses it.
    """
    images = check_images(images)
    return tf.where(images < per_example(threshold), images, 1.0 - images)
