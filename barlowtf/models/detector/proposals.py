"""The region proposal network: which of the anchors may hold an object, and where exactly.

Letters: B images, A anchors of an image, G places for the objects of an image.

Source: arXiv:1506.01497; facebookresearch/detectron2 modeling/proposal_generator/rpn.py.
"""

import math
from typing import NamedTuple

import keras
import tensorflow as tf

from barlowtf import detection
from barlowtf.models.detector.settings import DetectorSettings
from barlowtf.models.layers import layer_seed

_DEVIATION = 0.01


class Proposals(NamedTuple):
    """Boxes that may hold an object, by falling score."""

    boxes: tf.Tensor  # float32 [B, P, 4] in pixels of the image
    valid: tf.Tensor  # bool [B, P], False in an empty place


def make_proposal_network(channels: int, anchors: int, *, seed: int) -> keras.Model:
    """Returns the network: features float [B, h, w, c] -> logits float32 [B, h, w, a] and deltas [B, h, w, 4a].

    Args:
        channels: Channels c of the features, and of its hidden layer.
        anchors: Anchors a of each cell.
        seed: Of its weights, N(0, 0.01); biases start at 0.
    """
    features = keras.Input((None, None, channels), name="features")

    def convolution(x: keras.KerasTensor, filters: int, size: int, name: str) -> keras.KerasTensor:
        weights = keras.initializers.RandomNormal(stddev=_DEVIATION, seed=layer_seed(seed, f"proposals/{name}"))
        layer = keras.layers.Conv2D(
            filters, size, padding="same", kernel_initializer=weights, name=name, dtype="float32"
        )
        return layer(x)

    hidden = keras.layers.ReLU(dtype="float32")(convolution(features, channels, 3, "hidden"))
    logits, deltas = convolution(hidden, anchors, 1, "objectness"), convolution(hidden, 4 * anchors, 1, "deltas")
    return keras.Model(features, [logits, deltas], name="proposals")


def flat_outputs(logits: tf.Tensor, deltas: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns logits [B, A] and deltas [B, A, 4] in the order of `barlowtf.detection.map_anchors`."""
    images, height, width, anchors = logits.shape
    count = height * width * anchors
    return tf.reshape(logits, [images or -1, count]), tf.reshape(deltas, [images or -1, count, 4])


def propose(
    anchors: tf.Tensor,
    logits: tf.Tensor,
    deltas: tf.Tensor,
    extents: tf.Tensor,
    settings: DetectorSettings,
    *,
    training: bool,
) -> Proposals:
    """Returns the boxes of the highest scores that no better one overlaps; they have no gradient.

    An anchor centered beyond its image proposes nothing, because it is never trained; see `proposal_losses`.

    Args:
        anchors: float32 [A, 4] in pixels.
        logits: float32 [B, A].
        deltas: float32 [B, A, 4].
        extents: Height and width of each image without its padding, float32 [B, 2], pixels.
        settings: Of the detector.
        training: Which numbers of candidates and proposals hold.
    """
    phase = 0 if training else 1
    logits, deltas = tf.stop_gradient(logits), tf.stop_gradient(deltas)
    logits = tf.where(_inside(anchors, extents), logits, -math.inf)  # which suppression leaves out
    scores, best = tf.math.top_k(logits, k=min(settings.candidates[phase], anchors.shape[0]))
    boxes = detection.decode(tf.gather(anchors, best), tf.gather(deltas, best, axis=1, batch_dims=1))
    boxes = detection.clip(boxes, extents[:, 0], extents[:, 1])
    kept = detection.suppress(
        boxes,
        scores,
        detection.area(boxes) > 0,
        threshold=settings.proposal_overlap,
        count=settings.proposals[phase],
    )
    return Proposals(tf.gather(boxes, kept.index, axis=1, batch_dims=1), kept.valid)


def proposal_losses(
    anchors: tf.Tensor,
    logits: tf.Tensor,
    deltas: tf.Tensor,
    extents: tf.Tensor,
    boxes: tf.Tensor,
    valid: tf.Tensor,
    keys: tf.Tensor,
    settings: DetectorSettings,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the losses of the network, summed over the sampled anchors of all images.

    An anchor centered beyond its image is not sampled, and no object is matched with it: what an image teaches does not
    depend on its canvas.

    Args:
        anchors: float32 [A, 4] in pixels.
        logits: float32 [B, A].
        deltas: float32 [B, A, 4].
        extents: As of `propose`.
        boxes: Of the objects, float32 [B, G, 4].
        valid: Which of them are there, bool [B, G].
        keys: Uniform numbers in [0, 1), float32 [B, A].
        settings: Of the detector.

    Returns:
        float32 []: cross-entropy of the logits, and the sum of absolute differences of the deltas of positives.
    """
    low, high = settings.anchor_overlaps
    inside = _inside(anchors, extents)
    overlaps = tf.where(inside[:, None], detection.iou(boxes, anchors[None]), 0.0)
    matches = detection.match_each_truth(overlaps, valid, low=low, high=high)
    drawn = detection.sample(
        tf.where(inside, matches.label, detection.IGNORED),
        keys,
        count=settings.anchors_sampled,
        positive_fraction=0.5,
    )
    logits, deltas, index = (tf.gather(of, drawn.index, axis=1, batch_dims=1) for of in (logits, deltas, matches.index))
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(drawn.positive, tf.float32), logits)
    goals = detection.encode(tf.gather(anchors, drawn.index), tf.gather(boxes, index, axis=1, batch_dims=1))
    distance = tf.reduce_sum(tf.abs(deltas - goals), axis=-1)
    return (
        tf.reduce_sum(tf.where(drawn.valid, entropy, 0.0)),
        tf.reduce_sum(tf.where(drawn.positive, distance, 0.0)),
    )


def _inside(anchors: tf.Tensor, extents: tf.Tensor) -> tf.Tensor:
    """Returns which anchors [A, 4] are centered in images of some extents [B, 2], bool [B, A]."""
    center = (anchors[:, :2] + anchors[:, 2:]) / 2.0  # x, y
    return tf.reduce_all((center >= 0) & (center < extents[:, None, ::-1]), axis=-1)
