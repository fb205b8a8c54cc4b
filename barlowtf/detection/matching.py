"""Which truth each anchor or proposal stands for."""

from typing import NamedTuple

import tensorflow as tf

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1


class Matches(NamedTuple):
    """The truth of each box and what the box is trained for."""

    index: tf.Tensor  # int32 [..., P], the truth of most overlap, the first of equal ones; 0 where there is none
    label: tf.Tensor  # int32 [..., P], POSITIVE, NEGATIVE or IGNORED


def match(overlaps: tf.Tensor, valid: tf.Tensor, *, low: float, high: float) -> Matches:
    """Returns for each box its truth by overlap alone.

    Args:
        overlaps: Intersection over union of T truths and P boxes, float32 [..., T, P].
        valid: Which truths are there, the others being padding; bool [..., T].
        low: Overlap below which a box is negative, in [0, 1].
        high: Overlap from which on a box is positive, in [low, 1]; between both it is ignored.

    Returns:
        Matches. Without a truth every box is negative.

    Raises:
        ValueError: The thresholds are out of order.

    Source: facebookresearch/detectron2 modeling/matcher.py, Matcher.
    """
    if not 0 <= low <= high <= 1:
        raise ValueError(f"Invalid thresholds: received low {low} and high {high}, expected 0 <= low <= high <= 1.")
    truths = overlaps.shape[-2]
    if not truths:
        nothing = tf.zeros_like(tf.reduce_max(overlaps, axis=-2), tf.int32)
        return Matches(nothing, nothing)
    overlaps = tf.where(valid[..., None], overlaps, -1.0)
    best = tf.reduce_max(overlaps, axis=-2)  # [..., P]
    # Not `argmax`, which on a GPU may return any of equal ones.
    numbers = tf.where(overlaps == best[..., None, :], tf.range(truths)[:, None], truths)
    label = tf.where(best >= high, POSITIVE, tf.where(best >= low, IGNORED, NEGATIVE))
    return Matches(tf.reduce_min(numbers, axis=-2), label)


def match_each_truth(overlaps: tf.Tensor, valid: tf.Tensor, *, low: float, high: float) -> Matches:
    """Returns what `match` does, and makes the best boxes of each truth positive, however little they overlap it.

    Boxes that tie for the best overlap of a truth are all positive. Such a box keeps the index of its own best truth,
    which may be another one.

    Args:
        overlaps: As in `match`.
        valid: As in `match`.
        low: As in `match`.
        high: As in `match`.

    Returns:
        Matches.

    Raises:
        ValueError: The thresholds are out of order.

    Source: facebookresearch/detectron2 modeling/matcher.py, set_low_quality_matches_. Differs from it where no box
    overlaps a truth, because there all boxes that do not touch the truth would tie and be positive.
    """
    matches = match(overlaps, valid, low=low, high=high)
    best = tf.reduce_max(overlaps, axis=-1, keepdims=True)  # [..., T, 1]
    chosen = tf.reduce_any((overlaps == best) & (best > 0) & valid[..., None], axis=-2)
    return Matches(matches.index, tf.where(chosen, POSITIVE, matches.label))
