"""The head of a detector: which class the region of a proposal shows, and where exactly.

Letters: B images, P proposals and R regions of an image, K classes, G places for the objects of an image.

Source: arXiv:1506.01497; facebookresearch/detectron2 modeling/roi_heads/roi_heads.py and fast_rcnn.py.
"""

from typing import NamedTuple

import keras
import tensorflow as tf

from barlowtf import detection
from barlowtf.models.detector.proposals import Proposals
from barlowtf.models.detector.settings import DetectorSettings
from barlowtf.models.layers import layer_seed

_CLASS_DEVIATION, _BOX_DEVIATION = 0.01, 0.001


class Regions(NamedTuple):
    """The regions that the head learns from, those with an object first."""

    boxes: tf.Tensor  # float32 [B, R, 4]
    truth: tf.Tensor  # int32 [B, R], place of the object among the image's
    labels: tf.Tensor  # int32 [B, R], class of the object, K where there is none
    positive: tf.Tensor  # bool [B, R]
    valid: tf.Tensor  # bool [B, R], False in an empty place


class FoundObjects(NamedTuple):
    """What a detector finds in images, by falling score."""

    boxes: tf.Tensor  # float32 [B, D, 4] in pixels of the padded image
    labels: tf.Tensor  # int32 [B, D]
    scores: tf.Tensor  # float32 [B, D]
    valid: tf.Tensor  # bool [B, D], False in an empty place


def make_box_head(width: int, classes: int, *, seed: int) -> keras.Model:
    """Returns the last layers: features float [n, d] -> logits float32 [n, K + 1] and deltas float32 [n, 4K].

    The last class is the background.

    Args:
        width: Width d of the features.
        classes: Number K of classes.
        seed: Of the weights, N(0, 0.01) and N(0, 0.001); biases start at 0.
    """
    features = keras.Input((width,), dtype="float32", name="features")

    def linear(units: int, deviation: float, name: str) -> keras.KerasTensor:
        weights = keras.initializers.RandomNormal(stddev=deviation, seed=layer_seed(seed, f"regions/{name}"))
        return keras.layers.Dense(units, kernel_initializer=weights, name=name, dtype="float32")(features)

    outputs = [linear(classes + 1, _CLASS_DEVIATION, "classes"), linear(4 * classes, _BOX_DEVIATION, "boxes")]
    return keras.Model(features, outputs, name="box_head")


def choose_regions(
    proposals: Proposals,
    boxes: tf.Tensor,
    labels: tf.Tensor,
    valid: tf.Tensor,
    keys: tf.Tensor,
    classes: int,
    settings: DetectorSettings,
) -> Regions:
    """Returns a draw of proposals and objects for the head to learn from.

    Args:
        proposals: Of the proposal network.
        boxes: Of the objects, float32 [B, G, 4]; they are proposals, too.
        labels: Their classes, int32 [B, G].
        valid: Which of them are there, bool [B, G].
        keys: Uniform numbers in [0, 1), float32 [B, P + G].
        classes: Number K of classes.
        settings: Of the detector.
    """
    everything = tf.concat([proposals.boxes, boxes], axis=1)
    there = tf.concat([proposals.valid, valid], axis=1)
    overlap = settings.region_overlap
    matches = detection.match(detection.iou(boxes, everything), valid, low=overlap, high=overlap)
    drawn = detection.sample(
        tf.where(there, matches.label, detection.IGNORED),
        keys,
        count=settings.regions,
        positive_fraction=settings.region_positives,
    )
    truth = tf.gather(matches.index, drawn.index, axis=1, batch_dims=1)
    of_truth = tf.gather(labels, truth, axis=1, batch_dims=1)
    return Regions(
        tf.gather(everything, drawn.index, axis=1, batch_dims=1),
        truth,
        tf.where(drawn.positive, of_truth, classes),
        drawn.positive,
        drawn.valid,
    )


def region_losses(
    regions: Regions, logits: tf.Tensor, deltas: tf.Tensor, boxes: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the losses of the head, summed over the regions of all images.

    Args:
        regions: What it learns from.
        logits: float32 [B·R, K + 1].
        deltas: float32 [B·R, 4K].
        boxes: Of the objects, float32 [B, G, 4].

    Returns:
        float32 []: cross-entropy of the classes, and the sum of absolute differences of the deltas of positives.
    """
    labels = tf.reshape(regions.labels, [-1])
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    classes = logits.shape[-1] - 1
    by_class = tf.reshape(deltas, [-1, classes, 4])
    own = tf.gather(by_class, tf.minimum(labels, classes - 1), axis=1, batch_dims=1)
    goals = detection.encode(
        regions.boxes, tf.gather(boxes, regions.truth, axis=1, batch_dims=1), weights=detection.CLASS_WEIGHTS
    )
    distance = tf.reduce_sum(tf.abs(own - tf.reshape(goals, [-1, 4])), axis=-1)
    valid, positive = tf.reshape(regions.valid, [-1]), tf.reshape(regions.positive, [-1])
    return tf.reduce_sum(tf.where(valid, entropy, 0.0)), tf.reduce_sum(tf.where(positive, distance, 0.0))


def find_objects(
    proposals: Proposals, logits: tf.Tensor, deltas: tf.Tensor, extents: tf.Tensor, settings: DetectorSettings
) -> FoundObjects:
    """Returns the detections of each image.

    Args:
        proposals: P of each image.
        logits: float32 [B·P, K + 1].
        deltas: float32 [B·P, 4K].
        extents: Height and width of each image without its padding, float32 [B, 2], pixels.
        settings: Of the detector.
    """
    places, classes = proposals.valid.shape[1], logits.shape[-1] - 1
    scores = tf.reshape(tf.nn.softmax(logits)[:, :classes], [-1, places, classes])
    boxes = detection.decode(
        proposals.boxes[:, :, None], tf.reshape(deltas, [-1, places, classes, 4]), weights=detection.CLASS_WEIGHTS
    )
    boxes = detection.clip(tf.reshape(boxes, [-1, places * classes, 4]), extents[:, 0], extents[:, 1])
    labels = tf.tile(tf.range(classes), [places])[None] + tf.zeros_like(proposals.valid[:, :1], tf.int32)
    usable = tf.reshape((scores > settings.score) & proposals.valid[:, :, None], [-1, places * classes])
    scores = tf.reshape(scores, [-1, places * classes])
    kept = detection.suppress_by_class(
        boxes,
        scores,
        labels,
        usable & (detection.area(boxes) > 0),
        threshold=settings.detection_overlap,
        count=settings.detections,
    )
    boxes, labels, scores = (tf.gather(of, kept.index, axis=1, batch_dims=1) for of in (boxes, labels, scores))
    return FoundObjects(boxes, labels, scores, kept.valid)
