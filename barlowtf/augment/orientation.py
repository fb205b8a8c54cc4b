"""Vertical flips and quarter turns: with the horizontal flip, all eight ways to lay down a square image.

Neither changes a pixel's value, so nothing is resampled.
"""

from typing import NamedTuple

import tensorflow as tf

from barlowtf.augment.planes import check_images, to_images, to_planes
from barlowtf.config.schema import View

# Numbers that `draw_orientation` takes from each example's stream: vertical flip, whether it turns, how far.
ORIENTATION_DRAWS = 3


class Orientation(NamedTuple):
    """How each example is laid down.

    Attributes:
        vertical_flip: Whether it is mirrored top to bottom, bool [n].
        quarters: Counterclockwise quarter turns after the mirrors, int32 [n] in [0, 4).
    """

    vertical_flip: tf.Tensor
    quarters: tf.Tensor


def draw_orientation(uniforms: tf.Tensor, view: View) -> Orientation:
    """Returns the orientation of each example.

    Args:
        uniforms: Random numbers in [0, 1), float32 [n, ORIENTATION_DRAWS].
        view: Probabilities of this view. `turn` is that of a drawn turn, 0 to 3 quarters equally likely: with
            probability 1 each of the four is shown in a quarter of the cases.

    Raises:
        ValueError: `uniforms` has another number of columns.
    """
    if uniforms.shape.rank != 2 or uniforms.shape[1] != ORIENTATION_DRAWS:
        raise ValueError(f"Invalid uniforms: received shape {uniforms.shape}, expected [n, {ORIENTATION_DRAWS}].")
    drawn = tf.cast(tf.floor(4.0 * uniforms[:, 2]), tf.int32)  # Multiples of 2**-24: never 4.
    return Orientation(
        vertical_flip=uniforms[:, 0] < view.vertical_flip,
        quarters=tf.where(uniforms[:, 1] < view.turn, drawn, 0),
    )


def flip_vertically(images: tf.Tensor) -> tf.Tensor:
    """Returns all images mirrored top to bottom.

    Args:
        images: float32 [N, H, W, C].

    Returns:
        float32 [N, H, W, C].

    Raises:
        ValueError: `images` is not float32 of rank 4.
    """
    return tf.reverse(check_images(images), axis=[1])


def turn(images: tf.Tensor, quarters: tf.Tensor | int) -> tf.Tensor:
    """Returns square images turned counterclockwise by quarters.

    Args:
        images: float32 [N, S, S, C].
        quarters: Number of quarter turns, integer [N] or scalar, in [0, 4).

    Returns:
        float32 [N, S, S, C]; no bit of a value changes.

    Raises:
        ValueError: `images` is not float32 of rank 4, or height and width differ.
    """
    planes = to_planes(check_images(images))
    return to_images(turn_planes(planes, tf.broadcast_to(tf.cast(quarters, tf.int32), tf.shape(planes)[:1])))


def turn_planes(planes: tf.Tensor, quarters: tf.Tensor) -> tf.Tensor:
    """Returns planes [N, C, S, S] turned like `turn`; `quarters` is int32 [N]."""
    height, width = planes.shape[2:]
    if height != width:
        raise ValueError(f"Invalid images: received {height} x {width} pixels, expected squares, to turn by quarters.")
    quarters = tf.reshape(quarters, [-1, 1, 1, 1])
    # One quarter is a transposition and rows reversed, two are both axes reversed, three a transposition and columns.
    planes = tf.where(quarters % 2 == 1, tf.transpose(planes, [0, 1, 3, 2]), planes)
    planes = tf.where((quarters == 1) | (quarters == 2), tf.reverse(planes, axis=[2]), planes)
    return tf.where(quarters >= 2, tf.reverse(planes, axis=[3]), planes)
