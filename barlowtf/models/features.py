"""Features of many images, as every monitor and protocol takes them."""

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf


def extract_features(encoder: keras.Model, batches: Iterable[np.ndarray | tf.Tensor]) -> np.ndarray:
    """Features of all images, the encoder in inference mode.

    Args:
        encoder: Images [n, H, W, C] -> features [n, d].
        batches: Normalized float images [n, H, W, C] each, a `tf.data.Dataset` of them included; n may change.

    Returns:
        float32 [M, d], M the number of images, in their order.
    """
    # One trace for all batch sizes: a last, smaller batch would otherwise cost a second one.
    specification = tf.TensorSpec(encoder.input_shape, tf.float32)

    @tf.function(input_signature=[specification])
    def features(images: tf.Tensor) -> tf.Tensor:
        return tf.cast(encoder(images, training=False), tf.float32)

    rows = [features(tf.cast(images, tf.float32)).numpy() for images in batches]
    return np.concatenate(rows) if rows else np.zeros((0, encoder.output_shape[-1]), np.float32)
