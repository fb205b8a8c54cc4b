"""Anchors of one feature map: the boxes that a region proposal network starts from."""

import math
from collections.abc import Sequence

import tensorflow as tf


def cell_anchors(*, sizes: Sequence[float], ratios: Sequence[float]) -> tf.Tensor:
    """Returns the anchors of one cell, centered on the coordinate (0, 0).

    Args:
        sizes: Square roots of the areas, in pixels, > 0.
        ratios: Height divided by width, > 0.

    Returns:
        float32 [S·R, 4] = x1, y1, x2, y2 in pixels, not rounded; all ratios of the first size, then of the next.

    Raises:
        ValueError: A size or ratio is not positive, or there is none.

    Source: facebookresearch/detectron2 modeling/anchor_generator.py, generate_cell_anchors.
    """
    for name, values in (("sizes", sizes), ("ratios", ratios)):
        if not values or not all(0 < value < math.inf for value in values):
            raise ValueError(f"Invalid {name}: received {list(values)}, expected positive numbers, at least one.")
    anchors = []
    for size in sizes:
        for ratio in ratios:
            width = math.sqrt(size**2 / ratio)
            height = ratio * width
            anchors.append((-width / 2, -height / 2, width / 2, height / 2))
    return tf.constant(anchors, tf.float32)


def map_anchors(
    height: int, width: int, *, stride: float, sizes: Sequence[float], ratios: Sequence[float]
) -> tf.Tensor:
    """Returns the anchors of all cells of a feature map.

    Args:
        height: Rows H of the feature map, >= 0.
        width: Columns W of the feature map, >= 0.
        stride: Distance of two cells in pixels of the image, > 0. The cell (0, 0) is centered on the coordinate (0, 0).
        sizes: As in `cell_anchors`.
        ratios: As in `cell_anchors`.

    Returns:
        float32 [H·W·S·R, 4] = x1, y1, x2, y2 in pixels of the image, by row, column, size, ratio. They reach beyond the
        image.

    Raises:
        ValueError: A size, a ratio or the stride is not positive.

    Source: facebookresearch/detectron2 modeling/anchor_generator.py, DefaultAnchorGenerator with offset 0.
    """
    if not stride > 0:
        raise ValueError(f"Invalid stride: received {stride}, expected a positive number of pixels.")
    cell = cell_anchors(sizes=sizes, ratios=ratios)
    y, x = tf.meshgrid(
        stride * tf.range(height, dtype=tf.float32), stride * tf.range(width, dtype=tf.float32), indexing="ij"
    )
    shifts = tf.stack([x, y, x, y], axis=-1)  # [H, W, 4]
    return tf.reshape(shifts[:, :, None] + cell, [-1, 4])
