"""Small rotations, slants and shifts, one for each example, in a single bilinear resampling."""

import math
from typing import NamedTuple

import tensorflow as tf

from barlowtf.augment.planes import check_images, to_images, to_planes
from barlowtf.config.schema import Augment

# Numbers that `draw_placement` takes from each example's stream: angle, slant, shift down, shift right.
PLACEMENT_DRAWS = 4
BORDERS = ("black", "reflect")


class Placement(NamedTuple):
    """How the content of each example is moved.

    Attributes:
        angle: Counterclockwise rotation, degrees, float32 [n].
        slant: Columns by which a row moves to the right for each row above the center, float32 [n].
        shift: Movement down and to the right, share of height and width, float32 [n, 2].
    """

    angle: tf.Tensor
    slant: tf.Tensor
    shift: tf.Tensor


def draw_placement(uniforms: tf.Tensor, settings: Augment) -> Placement:
    """Returns the movement of each example, uniform between minus and plus the strengths of the recipe.

    Args:
        uniforms: Random numbers in [0, 1), float32 [n, PLACEMENT_DRAWS].
        settings: Strengths.

    Raises:
        ValueError: `uniforms` has another number of columns.
    """
    if uniforms.shape.rank != 2 or uniforms.shape[1] != PLACEMENT_DRAWS:
        raise ValueError(f"uniforms do not fit. Received shape {uniforms.shape}. Expected [n, {PLACEMENT_DRAWS}].")
    signed = 2.0 * uniforms - 1.0
    return Placement(
        angle=settings.rotation * signed[:, 0],
        slant=settings.slant * signed[:, 1],
        shift=settings.shift * signed[:, 2:],
    )


def affine(
    images: tf.Tensor,
    angle: tf.Tensor | float = 0.0,
    slant: tf.Tensor | float = 0.0,
    shift: tf.Tensor | tuple[float, float] = (0.0, 0.0),
    *,
    border: str = "black",
) -> tf.Tensor:
    """Returns images slanted, rotated about their center and shifted, in this order, by one bilinear resampling.

    A movement of 0 changes no bit.

    Args:
        images: float32 [N, H, W, C] in [0, 1].
        angle: Counterclockwise rotation, degrees, [N] or scalar.
        slant: Columns by which a row moves to the right for each row above the center, [N] or scalar.
        shift: Movement down and to the right, share of height and width, [N, 2] or [2].
        border: What lies outside an image: "black", 0; "reflect", its mirror image across the border, whose pixels come
            twice: (d c b a | a b c d | d c b a).

    Returns:
        float32 [N, H, W, C] in [0, 1].

    Raises:
        ValueError: `images` is not float32 of rank 4, or there is no such border.
    """
    if border not in BORDERS:
        raise ValueError(f"Invalid border: received {border!r}, expected one of {', '.join(BORDERS)}.")
    planes = to_planes(check_images(images))
    count = tf.shape(planes)[:1]
    placement = Placement(
        tf.broadcast_to(tf.cast(angle, tf.float32), count),
        tf.broadcast_to(tf.cast(slant, tf.float32), count),
        tf.broadcast_to(tf.cast(shift, tf.float32), tf.concat([count, [2]], axis=0)),
    )
    return to_images(move_planes(planes, placement, border))


def move_planes(planes: tf.Tensor, placement: Placement, border: str = "black") -> tf.Tensor:
    """Returns planes [N, C, H, W] moved like `affine`."""
    height, width = planes.shape[2:]
    row, column = _sources(placement, height, width)  # [N, H * W]
    neighbors = _neighbors_reflected
    if border == "black":
        # A frame of zeros: positions outside end there, and a position half outside is half black.
        planes, neighbors = tf.pad(planes, [[0, 0], [0, 0], [1, 1], [1, 1]]), _neighbors_framed
    rows, columns = planes.shape[2:]
    pixels = tf.transpose(tf.reshape(planes, [-1, planes.shape[1], rows * columns]), [0, 2, 1])  # [N, pixels, C]
    moved = 0.0
    for row_index, row_weight in neighbors(row, height):
        for column_index, column_weight in neighbors(column, width):
            corner = tf.gather(pixels, row_index * columns + column_index, axis=1, batch_dims=1)
            moved += (row_weight * column_weight)[:, :, tf.newaxis] * corner
    return tf.reshape(tf.transpose(moved, [0, 2, 1]), [-1, planes.shape[1], height, width])


def _sources(placement: Placement, height: int, width: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns row and column, each float32 [N, H * W], of the input position that each output pixel shows.

    Letters: (r, c) an output pixel from the center, (a, b) its input position from the center, t the angle, k the
    slant, (u, v) the shift in pixels. Forward, with rows counted downward:
    slant: (a, b) -> (a, b - k a); rotation: (a, b) -> (a cos t - b sin t, a sin t + b cos t); shift: + (u, v).
    Backward: (p, q) = (r - u, c - v); a = p cos t + q sin t; b = q cos t - p sin t + k a.
    """
    center_row, center_column = (height - 1) / 2, (width - 1) / 2
    row, column = tf.meshgrid(
        tf.range(height, dtype=tf.float32) - center_row,
        tf.range(width, dtype=tf.float32) - center_column,
        indexing="ij",
    )
    p = tf.reshape(row, [1, -1]) - placement.shift[:, :1] * height  # [N, H * W]
    q = tf.reshape(column, [1, -1]) - placement.shift[:, 1:] * width
    angle = placement.angle[:, tf.newaxis] * (math.pi / 180)
    a = p * tf.cos(angle) + q * tf.sin(angle)
    b = q * tf.cos(angle) - p * tf.sin(angle) + placement.slant[:, tf.newaxis] * a
    return a + center_row, b + center_column


# Index of a pixel along an axis, int32, and its weight, float32: of the two around each position.
_Neighbors = list[tuple[tf.Tensor, tf.Tensor]]


def _neighbors_framed(position: tf.Tensor, size: int) -> _Neighbors:
    """Returns the two pixels around each position, by their index in the axis with a frame of one pixel."""
    below = tf.floor(position)
    share = position - below
    index = tf.cast(below, tf.int32) + 1  # 0 and size + 1 are the frame.
    return [
        (tf.clip_by_value(index, 0, size + 1), 1.0 - share),
        (tf.clip_by_value(index + 1, 0, size + 1), share),
    ]


def _neighbors_reflected(position: tf.Tensor, size: int) -> _Neighbors:
    """Returns the two pixels around each position, where the axis goes on as its mirror image, again and again."""
    below = tf.floor(position)
    share = position - below
    index = tf.cast(below, tf.int32)
    weights = (1.0 - share, share)
    folded = [tf.math.floormod(index + step, 2 * size) for step in (0, 1)]
    return [(tf.minimum(each, 2 * size - 1 - each), weight) for each, weight in zip(folded, weights, strict=True)]
