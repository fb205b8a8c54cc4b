"""The mask of an object within its box: 14 × 14 pixels for each class.

Letters: n regions, K classes, s side of the masks that are learned, S side of the stored masks.

Source: arXiv:1703.06870; facebookresearch/detectron2 modeling/roi_heads/mask_head.py.
"""

import keras
import tensorflow as tf

from barlowtf import detection
from barlowtf.models.layers import layer_seed

_HIDDEN, _DEVIATION = 256, 0.001


def make_mask_head(channels: int, classes: int, *, seed: int) -> keras.Model:
    """Returns the network: features float [n, h, w, c] -> logits float32 [n, 2h, 2w, K].

    Args:
        channels: Channels c of the features.
        classes: Number K of classes.
        seed: Of the weights; biases start at 0.
    """
    features = keras.Input((None, None, channels), name="features")
    wide = keras.layers.Conv2DTranspose(
        _HIDDEN,
        2,
        strides=2,
        activation="relu",
        kernel_initializer=keras.initializers.VarianceScaling(
            2.0, "fan_out", "untruncated_normal", seed=layer_seed(seed, "masks/deconvolution")
        ),
        name="deconvolution",
        dtype="float32",
    )(features)
    logits = keras.layers.Conv2D(
        classes,
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=_DEVIATION, seed=layer_seed(seed, "masks/predictor")),
        name="predictor",
        dtype="float32",
    )(wide)
    return keras.Model(features, logits, name="mask_head")


def mask_targets(masks: tf.Tensor, truths: tf.Tensor, boxes: tf.Tensor, *, size: int) -> tf.Tensor:
    """Returns the part of objects' masks that lies within regions.

    Args:
        masks: Masks of the objects within their own boxes, bool or uint8 [n, S, S].
        truths: Boxes of the objects, float32 [n, 4].
        boxes: Regions, float32 [n, 4].
        size: s.

    Returns:
        bool [n, s, s].
    """
    corner, extent = truths[:, :2], tf.maximum(truths[:, 2:] - truths[:, :2], 1e-6)
    scale = tf.cast(masks.shape[1], tf.float32) / extent
    within = tf.concat([(boxes[:, :2] - corner) * scale, (boxes[:, 2:] - corner) * scale], axis=1)
    return detection.crop_masks(masks, within, size=size)


def mask_loss(logits: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor, positive: tf.Tensor) -> tf.Tensor:
    """Returns the cross-entropy of each region's own class, averaged over its pixels and summed over positives.

    Args:
        logits: float32 [n, s, s, K].
        labels: Classes, int32 [n].
        targets: bool [n, s, s].
        positive: Which regions have an object, bool [n].
    """
    own = of_class(logits, labels)
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(targets, tf.float32), own)
    return tf.reduce_sum(tf.where(positive, tf.reduce_mean(entropy, axis=[1, 2]), 0.0))


def of_class(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Returns the mask of each region's class, float32 [n, s, s]; a label beyond the classes takes the last one."""
    index = tf.minimum(labels, logits.shape[-1] - 1)[:, None, None, None]
    own = tf.one_hot(index[..., 0], logits.shape[-1])  # [n, 1, 1, K]
    return tf.reduce_sum(logits * own, axis=-1)
