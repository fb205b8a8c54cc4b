"""Boxes x1, y1, x2, y2 in continuous pixels: a box is x2 - x1 wide, and the first pixel reaches from 0 to 1.

`keras.utils.bounding_boxes` does not serve: its `compute_iou` adds an epsilon to the union, and
`decode_deltas_to_boxes` does not limit the growth of a box.
"""

import math

import tensorflow as tf

# Weights of dx, dy, dw, dh in detectron2: of the region proposals, and of the boxes by class.
PROPOSAL_WEIGHTS = (1.0, 1.0, 1.0, 1.0)
CLASS_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
# No box grows by more than this factor, so that exp cannot overflow: a cell of 16 pixels reaches 1000.
LARGEST_GROWTH = 1000.0 / 16


def area(boxes: tf.Tensor) -> tf.Tensor:
    """Returns the areas of boxes.

    Args:
        boxes: float32 [..., 4] in pixels.

    Returns:
        float32 [...] in square pixels, 0 where a box ends before it begins.
    """
    return tf.maximum(boxes[..., 2] - boxes[..., 0], 0.0) * tf.maximum(boxes[..., 3] - boxes[..., 1], 0.0)


def iou(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Returns the intersection over union of each pair of boxes.

    Args:
        first: float32 [..., n, 4] in pixels.
        second: float32 [..., m, 4] in pixels.

    Returns:
        float32 [..., n, m] in [0, 1]; 0 where boxes have no area in common.

    Source: facebookresearch/detectron2 structures/boxes.py, pairwise_iou.
    """
    a, b = first[..., :, None, :], second[..., None, :, :]
    corner, end = tf.maximum(a[..., :2], b[..., :2]), tf.minimum(a[..., 2:], b[..., 2:])
    shared = area(tf.concat([corner, end], axis=-1))
    return tf.math.divide_no_nan(shared, area(a) + area(b) - shared)


def clip(boxes: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Returns boxes cut to their image.

    Args:
        boxes: float32 [..., n, 4] in pixels.
        height: Height of the image in pixels, a number or float32 [...].
        width: Width of the image in pixels, a number or float32 [...].

    Returns:
        float32 [..., n, 4]; a box outside the image has no area.

    Source: facebookresearch/detectron2 structures/boxes.py, Boxes.clip.
    """
    height, width = tf.convert_to_tensor(height, tf.float32), tf.convert_to_tensor(width, tf.float32)
    limits = tf.stack([width, height, width, height], axis=-1)[..., None, :]
    return tf.clip_by_value(boxes, 0.0, limits)


def encode(
    boxes: tf.Tensor, targets: tf.Tensor, *, weights: tuple[float, float, float, float] = PROPOSAL_WEIGHTS
) -> tf.Tensor:
    """Returns the deltas that turn boxes into targets.

    Args:
        boxes: Anchors or proposals, float32 [..., 4] in pixels.
        targets: float32 [..., 4] in pixels.
        weights: Factors of dx, dy, dw, dh, > 0.

    Returns:
        float32 [..., 4], times the weights: dx, dy = distance of the centers divided by the extent of the box, dw, dh =
        log of the ratio of the extents. Zeros where box or target has no area, so that padding stays finite; differs
        from detectron2, which refuses such boxes.

    Source: facebookresearch/detectron2 modeling/box_regression.py, Box2BoxTransform.get_deltas.
    """
    (center, extent), (goal, goal_extent) = _centers(boxes), _centers(targets)
    usable = tf.reduce_all((extent > 0) & (goal_extent > 0), axis=-1, keepdims=True)
    extent, goal_extent = tf.where(usable, extent, 1.0), tf.where(usable, goal_extent, 1.0)
    deltas = tf.concat([(goal - center) / extent, tf.math.log(goal_extent / extent)], axis=-1)
    return tf.where(usable, deltas * tf.constant(weights, tf.float32), 0.0)


def decode(
    boxes: tf.Tensor, deltas: tf.Tensor, *, weights: tuple[float, float, float, float] = PROPOSAL_WEIGHTS
) -> tf.Tensor:
    """Returns the boxes that deltas make of boxes.

    Args:
        boxes: Anchors or proposals, float32 [..., 4] in pixels. Deltas of k classes: boxes [n, 1, 4], deltas [n, k, 4].
        deltas: dx, dy, dw, dh as `encode` gives them, float32 [..., 4], of a shape that broadcasts with the boxes'.
        weights: Factors with which the deltas were encoded, > 0.

    Returns:
        float32 [..., 4] in pixels. No side grows by more than `LARGEST_GROWTH`.

    Source: facebookresearch/detectron2 modeling/box_regression.py, Box2BoxTransform.apply_deltas.
    """
    center, extent = _centers(boxes)
    deltas = tf.cast(deltas, tf.float32) / tf.constant(weights, tf.float32)
    center = deltas[..., :2] * extent + center
    half = 0.5 * tf.exp(tf.minimum(deltas[..., 2:], math.log(LARGEST_GROWTH))) * extent
    return tf.concat([center - half, center + half], axis=-1)


def _centers(boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns centers x, y and extents width, height, each [..., 2]."""
    extent = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + 0.5 * extent, extent
