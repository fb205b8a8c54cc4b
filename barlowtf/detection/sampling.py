"""A fixed number of positive and negative boxes, drawn by given random numbers."""

from typing import NamedTuple

import tensorflow as tf

from barlowtf.detection.matching import NEGATIVE, POSITIVE


class Sample(NamedTuple):
    """The drawn boxes of each image: positives, then negatives, then empty places."""

    index: tf.Tensor  # int32 [..., count], number of the box; 0 in an empty place
    positive: tf.Tensor  # bool [..., count]
    valid: tf.Tensor  # bool [..., count], False in an empty place


def sample(labels: tf.Tensor, keys: tf.Tensor, *, count: int, positive_fraction: float) -> Sample:
    """Returns a uniform draw of boxes, without repetition.

    Where positives lack, negatives take their places; where negatives lack, places stay empty.

    Args:
        labels: `POSITIVE`, `NEGATIVE` or `IGNORED`, int32 [..., P], P known. Give padding the label `IGNORED`.
        keys: Independent uniform numbers in [0, 1), float32 [..., P]: the boxes of the smallest are drawn.
        count: Number of boxes to draw for each image, >= 1.
        positive_fraction: Largest share of positives among them, in [0, 1].

    Returns:
        Sample.

    Raises:
        ValueError: `count` or `positive_fraction` is out of range.

    Source: facebookresearch/detectron2 modeling/sampling.py, subsample_labels.
    """
    if count < 1:
        raise ValueError(f"Invalid count: received {count}, expected at least 1.")
    if not 0 <= positive_fraction <= 1:
        raise ValueError(f"Invalid positive_fraction: received {positive_fraction}, expected a number in [0, 1].")
    positives, first = _drawn(labels == POSITIVE, keys, count)
    negatives, second = _drawn(labels == NEGATIVE, keys, count)
    first = tf.minimum(first, int(count * positive_fraction))
    place = tf.range(count)
    behind = tf.clip_by_value(place - first, 0, count - 1)
    positive, valid = place < first, place < first + second
    index = tf.where(positive, positives, tf.gather(negatives, behind, axis=-1, batch_dims=len(behind.shape) - 1))
    return Sample(tf.where(valid, index, 0), positive, valid)


def _drawn(candidates: tf.Tensor, keys: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the candidates of the smallest keys, int32 [..., count], and their number, int32 [..., 1]."""
    # Negated keys lie in (-1, 0]; others come last.
    places = min(count, candidates.shape[-1])
    _, order = tf.math.top_k(tf.where(candidates, -keys, -2.0), k=places)
    padding = [[0, 0]] * (len(order.shape) - 1) + [[0, count - places]]
    number = tf.reduce_sum(tf.cast(candidates, tf.int32), axis=-1, keepdims=True)
    return tf.pad(order, padding), number
