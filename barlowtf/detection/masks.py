"""Masks between image and box: targets cut out of bit masks, and predicted masks pasted into the image.

Both are bilinear and work on one axis after the other, with elementwise products: a matrix product in the reduced
precision of a GPU would move borders.
"""

import tensorflow as tf

from barlowtf.detection.roi_align import Axis, adaptive_axis

# From this value on a pixel belongs to the mask.
THRESHOLD = 0.5


def crop_soft_masks(masks: tf.Tensor, boxes: tf.Tensor, *, size: int) -> tf.Tensor:
    """Returns each mask inside its own box, resized by RoIAlign with one sample point for each pixel.

    Args:
        masks: Bit masks, bool or float [n, H, W], H and W known.
        boxes: float32 [n, 4] = x1, y1, x2, y2 in pixels.
        size: Rows and columns s of the result, >= 1.

    Returns:
        float32 [n, s, s] in [0, 1]; 0 where a box has no extent.

    Raises:
        ValueError: `size` is out of range.

    Source: facebookresearch/detectron2 structures/masks.py, BitMasks.crop_and_resize, before its threshold.
    """
    if size < 1:
        raise ValueError(f"Invalid size: received {size}, expected at least 1.")
    height, width = masks.shape[1:]
    boxes = tf.cast(boxes, tf.float32)
    starts, extents = boxes - 0.5, boxes[:, 2:] - boxes[:, :2]

    def axis(which: int, length: int) -> Axis:
        # Enough for a box within the image; a larger one is drawn more coarsely.
        most = -(-length // size)
        return adaptive_axis(starts[:, which], extents[:, which], length=length, bins=size, most=most)

    by_row = _resample(tf.cast(masks, tf.float32), axis(1, height))  # [n, s, W]
    by_column = _resample(tf.transpose(by_row, [0, 2, 1]), axis(0, width))  # [n, s columns, s rows]
    return tf.transpose(by_column, [0, 2, 1])


def crop_masks(masks: tf.Tensor, boxes: tf.Tensor, *, size: int) -> tf.Tensor:
    """Returns the targets of a mask head: `crop_soft_masks` from `THRESHOLD` on, bool [n, s, s]."""
    return crop_soft_masks(masks, boxes, size=size) >= THRESHOLD


def paste_soft_masks(masks: tf.Tensor, boxes: tf.Tensor, *, height: int, width: int) -> tf.Tensor:
    """Returns each mask stretched over its box in an image.

    Args:
        masks: Probabilities, float [n, s, s].
        boxes: float32 [n, 4] = x1, y1, x2, y2 in pixels of the image; they may reach beyond it.
        height: Height H of the image in pixels.
        width: Width W of the image in pixels.

    Returns:
        float32 [n, H, W], 0 outside the box and everywhere where a box has no area.

    Source: facebookresearch/detectron2 layers/mask_ops.py, _do_paste_mask.
    """
    boxes = tf.cast(boxes, tf.float32)
    size = masks.shape[1]
    by_row = _resample(tf.cast(masks, tf.float32), _stretched(boxes[:, 1], boxes[:, 3], size, height))  # [n, H, s]
    by_column = _resample(tf.transpose(by_row, [0, 2, 1]), _stretched(boxes[:, 0], boxes[:, 2], size, width))
    return tf.transpose(by_column, [0, 2, 1])  # [n, W, H] -> [n, H, W]


def paste_masks(masks: tf.Tensor, boxes: tf.Tensor, *, height: int, width: int) -> tf.Tensor:
    """Returns the masks in an image as bits: `paste_soft_masks` from `THRESHOLD` on, bool [n, H, W]."""
    return paste_soft_masks(masks, boxes, height=height, width=width) >= THRESHOLD


def _stretched(start: tf.Tensor, end: tf.Tensor, size: int, length: int) -> Axis:
    """Returns from which two places of a mask each pixel of an image takes its value; beyond the mask is 0."""
    extent = (end - start)[:, None]
    at = (tf.range(length, dtype=tf.float32) + 0.5 - start[:, None]) * tf.math.divide_no_nan(1.0, extent) * size - 0.5
    at = tf.clip_by_value(at, -1.0, float(size))  # at both ends nothing of the mask is left
    low = tf.floor(at)
    upper = at - low
    weight = tf.stack([1.0 - upper, upper], axis=-1)  # [n, length, 2]
    position = tf.cast(low, tf.int32)[..., None] + tf.constant([0, 1])
    inside = (position >= 0) & (position < size) & (extent > 0)[..., None]
    return Axis(tf.clip_by_value(position, 0, size - 1), tf.where(inside, weight, 0.0))


def _resample(values: tf.Tensor, axis: Axis) -> tf.Tensor:
    """Returns the weighted sums along the second axis: [n, L, m] -> [n, s, m]."""
    return tf.add_n(
        [
            axis.weight[:, :, k, None] * tf.gather(values, axis.position[:, :, k], axis=1, batch_dims=1)
            for k in range(axis.weight.shape[-1])
        ]
    )
