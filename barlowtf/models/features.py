"""Features of many images, as every monitor and protocol takes them."""

import functools
import weakref
from collections.abc import Callable, Iterable
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf


def extract_features(
    encoder: keras.Model, batches: Iterable[np.ndarray | tf.Tensor], *, count: int | None = None
) -> np.ndarray:
    """Features of all images, the encoder in inference mode.

    Args:
        encoder: Images [n, H, W, C] -> features [n, d].
        batches: Normalized float images [n, H, W, C] each, a `tf.data.Dataset` of them included; n may change.
        count: M, where it is known: the result is then filled batch by batch, and never held twice.

    Returns:
        float32 [M, d], M the number of images, in their order.

    Raises:
        ValueError: The batches hold other than `count` images.
    """
    features = functools.partial(_features, encoder)
    if count is not None:
        return _filled(encoder, features, batches, count)
    rows = [features(images).numpy() for images in batches]
    return np.concatenate(rows) if rows else np.zeros((0, encoder.output_shape[-1]), np.float32)


def _filled(
    encoder: keras.Model, features: Callable[[Any], tf.Tensor], batches: Iterable[Any], count: int
) -> np.ndarray:
    result, start = np.empty((count, encoder.output_shape[-1]), np.float32), 0
    for images in batches:
        rows = features(images).numpy()
        if start + len(rows) > count:
            break
        result[start : start + len(rows)] = rows
        start += len(rows)
    else:
        if start == count:
            return result
    raise ValueError(f"Received batches of other than count = {count} images. Expected as many.")


# One trace an encoder and size: a monitor calls every few epochs, and a trace of a deep encoder takes seconds.
_FUNCTIONS: weakref.WeakKeyDictionary[keras.Model, Any] = weakref.WeakKeyDictionary()


def _features(encoder: keras.Model, images: np.ndarray | tf.Tensor) -> tf.Tensor:
    """Returns features, float32 [n, d], of one batch in inference mode, by one graph for all batch sizes."""
    if encoder not in _FUNCTIONS:
        # The graph must not keep alive the key that it is filed under.
        reference = weakref.ref(encoder)

        @tf.function
        def features(images: tf.Tensor) -> tf.Tensor:
            present = cast(keras.Model, reference())
            return tf.cast(present(images, training=False), tf.float32)

        _FUNCTIONS[encoder] = features
    images = tf.cast(images, tf.float32)
    # The size of the images stays known, which fast kernels want; their number does not.
    specification = tf.TensorSpec([None, *images.shape[1:]], tf.float32)
    return _FUNCTIONS[encoder].get_concrete_function(specification)(images)
