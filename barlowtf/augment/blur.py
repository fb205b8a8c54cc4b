"""Gaussian blur with one sigma per example, as two products with banded matrices."""

import numpy as np
import tensorflow as tf

from barlowtf.augment.planes import check_images, to_images, to_planes


def gaussian_blur(images: tf.Tensor, sigma: tf.Tensor | float, *, kernel_size: int = 23) -> tf.Tensor:
    """Returns images blurred by a Gaussian, with a mirrored border (d c b | a b c d | c b a).

    Args:
        images: float32 [N, H, W, C] in [0, 1].
        sigma: Standard deviation, pixels, [N] or scalar, > 0.
        kernel_size: Width of the kernel, pixels, odd; shrinks to 2 * size - 1 along an axis that is smaller.
            Default: 11 pixels on either side, 5.5 times the recipe's largest sigma. Differs from the authors' code,
            where Pillow approximates the Gaussian by three box filters.

    Returns:
        float32 [N, H, W, C] in [0, 1].

    Raises:
        ValueError: `images` is not float32 of rank 4, or `kernel_size` is not odd and positive.
    """
    return to_images(blur_planes(to_planes(check_images(images)), sigma, kernel_size=kernel_size))


def blur_planes(planes: tf.Tensor, sigma: tf.Tensor | float, *, kernel_size: int = 23) -> tf.Tensor:
    """Returns planes [N, C, H, W] blurred like `gaussian_blur`."""
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"Invalid kernel_size: received {kernel_size}, expected an odd number >= 1.")
    vertical = _blur_matrices(sigma, planes.shape[2], kernel_size // 2)
    horizontal = _blur_matrices(sigma, planes.shape[3], kernel_size // 2)
    return tf.matmul(tf.matmul(vertical, planes), horizontal, transpose_b=True)


def _blur_matrices(sigma: tf.Tensor | float, size: int, radius: int) -> tf.Tensor:
    """Returns float32 [N or 1, 1, size, size]: row i weighs the pixels for pixel i; each row sums to 1."""
    radius = min(radius, size - 1)
    row, column = np.indices((size, size))
    # Pixel j stands at j and, mirrored, at -j and at 2 * (size - 1) - j; the two end pixels are not repeated.
    weights = 0.0
    for position, exists in (
        (column, True),
        (-column, column > 0),
        (2 * (size - 1) - column, column < size - 1),
    ):
        distance = np.abs(position - row)
        reached = tf.constant((distance <= radius) & exists, tf.float32)
        exponent = tf.constant(-0.5 * np.minimum(distance, radius) ** 2, tf.float32)
        variance = tf.reshape(tf.square(tf.cast(sigma, tf.float32)), [-1, 1, 1, 1])
        weights += reached * tf.exp(exponent / variance)
    return weights / tf.reduce_sum(weights, axis=-1, keepdims=True)
