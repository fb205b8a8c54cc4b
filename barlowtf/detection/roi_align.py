"""RoIAlign: features of a box, sampled bilinearly at fractions of a pixel and averaged by bin.

Letters: n boxes, s×s bins, K positions on each axis that a bin draws from (two for each sample point), C channels.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class Axis(NamedTuple):
    """What each bin draws from along one axis; the weights of a bin add up to 1 where all of it is inside."""

    position: tf.Tensor  # int32 [n, s, K]
    weight: tf.Tensor  # float32 [n, s, K]


def roi_align(
    features: tf.Tensor, boxes: tf.Tensor, images: tf.Tensor, *, size: int, scale: float, samples: int = 2
) -> tf.Tensor:
    """Returns the features of boxes, with a fixed number of sample points in each bin.

    The coordinate x of the image lies at scale·x - 1/2 of the feature map. A sample point farther than one pixel before
    the first or behind the last row or column counts as 0, and one nearer takes the edge.

    Args:
        features: float [B, H, W, C], H and W known.
        boxes: float32 [n, 4] = x1, y1, x2, y2 in pixels of the image. They get no gradient.
        images: Image of each box, integer [n], in [0, B).
        size: Bins s along each side, >= 1.
        scale: Size of the feature map divided by the size of the image, > 0.
        samples: Sample points of a bin along each axis, >= 1. Default: 2, with which detectron2's older models are
            trained and which costs 16 reads for each bin.

    Returns:
        [n, s, s, C] of the type of `features`, computed in float32.

    Raises:
        ValueError: `size`, `scale` or `samples` is out of range.

    Source: torchvision ops/roi_align.py with aligned=True, as detectron2 layers/roi_align.py uses it.
    """
    _check(size, scale, samples)
    rows, columns = _axes(features, boxes, scale)
    fixed = tf.fill(tf.shape(boxes)[:1], samples)
    return _draw(
        features,
        images,
        sampled_axis(*rows, length=features.shape[1], bins=size, counts=fixed, most=samples),
        sampled_axis(*columns, length=features.shape[2], bins=size, counts=fixed, most=samples),
    )


def roi_align_adaptive(
    features: tf.Tensor, boxes: tf.Tensor, images: tf.Tensor, *, size: int, scale: float, most_samples: int
) -> tf.Tensor:
    """Returns the features of boxes, with one sample point for each pixel of the feature map in a bin, rounded up.

    It is the sampling ratio 0 of the authors. A box without an extent gives 0.

    Args:
        features: As in `roi_align`.
        boxes: As in `roi_align`.
        images: As in `roi_align`.
        size: Bins s along each side, >= 1.
        scale: Size of the feature map divided by the size of the image, > 0.
        most_samples: Largest number M of sample points of a bin along each axis, >= 1: a bin of more than M pixels gets
            M. It costs (2M)² reads for each bin, of whatever size the boxes are.

    Returns:
        [n, s, s, C] of the type of `features`, computed in float32.

    Raises:
        ValueError: `size`, `scale` or `most_samples` is out of range.

    Source: torchvision ops/roi_align.py with aligned=True and sampling_ratio=0.
    """
    _check(size, scale, most_samples)
    (top, height), (left, width) = _axes(features, boxes, scale)
    return _draw(
        features,
        images,
        adaptive_axis(top, height, length=features.shape[1], bins=size, most=most_samples),
        adaptive_axis(left, width, length=features.shape[2], bins=size, most=most_samples),
    )


def adaptive_axis(start: tf.Tensor, extent: tf.Tensor, *, length: int, bins: int, most: int) -> Axis:
    """Returns `sampled_axis` with one sample point for each pixel of a bin, rounded up, and at most `most`."""
    counts = tf.cast(tf.math.ceil(extent / bins), tf.int32)
    return sampled_axis(start, extent, length=length, bins=bins, counts=tf.clip_by_value(counts, 0, most), most=most)


def sampled_axis(start: tf.Tensor, extent: tf.Tensor, *, length: int, bins: int, counts: tf.Tensor, most: int) -> Axis:
    """Returns what the bins of each box draw from along one axis.

    Args:
        start: Where the box begins, float32 [n], in pixels whose centers are whole numbers.
        extent: Length of the box, float32 [n], in pixels.
        length: Number of pixels, >= 1.
        bins: Number of bins s, >= 1.
        counts: Sample points of a bin, int32 [n], in [0, most].
        most: Largest number of sample points M, >= 1.

    Returns:
        Axis with K = 2M.
    """
    step = (extent / bins)[:, None, None]
    points = tf.cast(counts, tf.float32)[:, None, None]
    point, bin_number = tf.range(most, dtype=tf.float32), tf.range(bins, dtype=tf.float32)[:, None]
    at = start[:, None, None] + bin_number * step + (point + 0.5) * tf.math.divide_no_nan(step, points)  # [n, s, M]
    used = (point < points) & (at >= -1.0) & (at <= length)
    share = tf.where(used, tf.math.divide_no_nan(1.0, points), 0.0)
    at = tf.clip_by_value(at, 0.0, length - 1.0)
    low = tf.floor(at)
    position = tf.cast(low, tf.int32)
    upper = (at - low) * share
    return Axis(
        tf.concat([position, tf.minimum(position + 1, length - 1)], axis=-1), tf.concat([share - upper, upper], axis=-1)
    )


def _check(size: int, scale: float, samples: int) -> None:
    if size < 1 or samples < 1 or not scale > 0:
        raise ValueError(
            f"Invalid bins: received size {size}, scale {scale}, samples {samples}, expected size and samples of at "
            "least 1 and a scale above 0."
        )


def _axes(features: tf.Tensor, boxes: tf.Tensor, scale: float) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """Returns start and extent of each box in pixels of the feature map, along rows, then along columns."""
    if features.shape[1] is None or features.shape[2] is None:
        raise ValueError(f"Invalid features: received shape {features.shape}, expected height and width to be known.")
    boxes = tf.stop_gradient(tf.cast(boxes, tf.float32)) * scale
    return [(boxes[:, axis] - 0.5, boxes[:, axis + 2] - boxes[:, axis]) for axis in (1, 0)]


def _draw(features: tf.Tensor, images: tf.Tensor, rows: Axis, columns: Axis) -> tf.Tensor:
    """Returns the weighted sums of features, [n, s, s, C].

    Each of the K² terms is as large as the result, so they are added one after the other, and their gradients, too.
    """
    batch, height, width, channels = tf.unstack(tf.shape(features))
    places = batch * height * width
    image = tf.cast(images, tf.int32)[:, None, None]

    terms = []  # place [n, s, s] and weight [n, s, s, 1] of each
    for k in range(rows.weight.shape[-1]):
        for m in range(columns.weight.shape[-1]):
            row, column = rows.position[:, :, None, k], columns.position[:, None, :, m]
            weight = rows.weight[:, :, None, k] * columns.weight[:, None, :, m]
            terms.append(((image * height + row) * width + column, weight[..., None]))

    @tf.custom_gradient
    def drawn(flat: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            total = tf.zeros_like(flat)
            for place, weight in terms:
                with tf.control_dependencies([total]):
                    total += tf.math.unsorted_segment_sum(weight * upstream, place, places)
            return total

        total = tf.constant(0.0)
        for place, weight in terms:
            with tf.control_dependencies([total]):
                total += weight * tf.gather(flat, place)
        return total, gradient

    flat = tf.reshape(tf.cast(features, tf.float32), [places, channels])
    return tf.cast(drawn(flat), features.dtype)
