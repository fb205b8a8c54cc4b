"""Non-maximum suppression: of boxes that overlap, the one of the highest score stays.

`tf.image.non_max_suppression` takes one image and no classes, and the padded form of it removes a box whose overlap
equals the threshold, which detectron2 keeps. Here blocks of boxes are compared with those kept so far and with each
other, so that memory grows with the number of kept boxes and not with the square of the candidates.
"""

from typing import NamedTuple

import tensorflow as tf

from barlowtf.detection.boxes import iou

_BLOCK = 256


class Kept(NamedTuple):
    """The boxes that stay, by falling score."""

    index: tf.Tensor  # int32 [B, count], number of the box; 0 in an empty place
    valid: tf.Tensor  # bool [B, count], False in an empty place


def suppress(boxes: tf.Tensor, scores: tf.Tensor, valid: tf.Tensor, *, threshold: float, count: int) -> Kept:
    """Returns the boxes that no kept box of a higher score overlaps by more than a threshold.

    Args:
        boxes: float32 [B, N, 4] in pixels, N known.
        scores: float32 [B, N]. Of equal scores the first box counts as the higher one. A score that is not finite
            leaves the box out.
        valid: Which boxes are there, the others being padding; bool [B, N].
        threshold: Intersection over union beyond which a box is removed, in [0, 1].
        count: Number of places K for each image, >= 1; further boxes are left out.

    Returns:
        Kept. It has no gradient.

    Raises:
        ValueError: `threshold` or `count` is out of range.

    Source: torchvision ops/boxes.py, nms.
    """
    return suppress_by_class(boxes, scores, tf.zeros_like(scores, tf.int32), valid, threshold=threshold, count=count)


def suppress_by_class(
    boxes: tf.Tensor, scores: tf.Tensor, classes: tf.Tensor, valid: tf.Tensor, *, threshold: float, count: int
) -> Kept:
    """Returns what `suppress` does where boxes of other classes do not remove a box.

    Args:
        boxes: As in `suppress`.
        scores: As in `suppress`.
        classes: int32 [B, N].
        valid: As in `suppress`.
        threshold: As in `suppress`.
        count: Number of places K for each image, all classes together, >= 1.

    Returns:
        Kept. It has no gradient.

    Raises:
        ValueError: `threshold` or `count` is out of range.

    Source: torchvision ops/boxes.py, _batched_nms_vanilla.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"Invalid threshold: received {threshold}, expected a number in [0, 1].")
    if count < 1:
        raise ValueError(f"Invalid count: received {count}, expected at least 1.")
    boxes, scores = tf.stop_gradient(boxes), tf.stop_gradient(scores)
    images, number = tf.shape(boxes)[0], boxes.shape[1]
    block = max(1, min(_BLOCK, number))
    blocks = max(1, -(-number // block))
    alive = valid & tf.math.is_finite(scores)
    order = tf.argsort(tf.where(alive, scores, -float("inf")), axis=1, direction="DESCENDING", stable=True)
    order = tf.pad(order, [[0, 0], [0, blocks * block - number]], constant_values=number)
    # One box of padding: all that `order` holds has a box, N the padding.
    boxes = tf.gather(tf.pad(boxes, [[0, 0], [0, 1], [0, 0]]), order, axis=1, batch_dims=1)
    classes = tf.gather(tf.pad(classes, [[0, 0], [0, 1]]), order, axis=1, batch_dims=1)
    alive = tf.gather(tf.pad(alive, [[0, 0], [0, 1]]), order, axis=1, batch_dims=1)
    place = tf.range(count)
    earlier = tf.range(block)[:, None] < tf.range(block)

    def clashes(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """Returns which of the boxes at sorted places [B, n] would remove which at [B, m]; bool [B, n, m]."""
        one, other = (tf.gather(boxes, places, axis=1, batch_dims=1) for places in (first, second))
        class_of_one, class_of_other = (tf.gather(classes, places, axis=1, batch_dims=1) for places in (first, second))
        return (class_of_one[:, :, None] == class_of_other[:, None]) & (iou(one, other) > threshold)

    def body(turn: tf.Tensor, kept: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        here = tf.broadcast_to(turn * block + tf.range(block), [images, block])
        removed = tf.reduce_any(clashes(kept, here) & (place < found)[:, :, None], axis=1)
        candidates = tf.gather(alive, here, axis=1, batch_dims=1) & ~removed
        chosen = _chosen(candidates, clashes(here, here) & earlier)
        order_of_chosen = tf.argsort(tf.cast(~chosen, tf.int32), axis=1, stable=True)
        total = found + tf.reduce_sum(tf.cast(chosen, tf.int32), axis=1, keepdims=True)
        added = tf.gather(order_of_chosen, tf.clip_by_value(place - found, 0, block - 1), axis=1, batch_dims=1)
        kept = tf.where((place >= found) & (place < total), turn * block + added, kept)
        return turn + 1, kept, total

    _, kept, found = tf.while_loop(
        lambda turn, kept, found: (turn < blocks) & tf.reduce_any(found < count),
        body,
        (tf.constant(0), tf.zeros([images, count], tf.int32), tf.zeros([images, 1], tf.int32)),
    )
    stays = place < found
    return Kept(tf.where(stays, tf.gather(order, kept, axis=1, batch_dims=1), 0), stays)


def _chosen(candidates: tf.Tensor, forbids: tf.Tensor) -> tf.Tensor:
    """Returns which candidates of a block stay.

    A candidate stays if no earlier one that stays forbids it. Repeating this rule settles at least one more box of each
    block, in order, in each round; usually a few rounds settle all.

    Args:
        candidates: bool [B, block].
        forbids: Which earlier box forbids which later one, bool [B, block, block].

    Returns:
        bool [B, block].
    """

    def body(stays: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        after = candidates & ~tf.reduce_any(forbids & stays[:, :, None], axis=1)
        return after, tf.reduce_any(after != stays)

    stays, _ = tf.while_loop(lambda _, changed: changed, body, (candidates, tf.constant(True)))
    return stays
