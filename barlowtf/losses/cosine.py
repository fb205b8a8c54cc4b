"""Cosines of embeddings, in float32 whatever their precision."""

import tensorflow as tf

from barlowtf.distribute.collectives import all_reduce_sum
from barlowtf.losses.standardize import global_batch_size

# Shortest length that is divided by; shorter embeddings are divided by this. PyTorch's F.normalize.
_SHORTEST = 1e-12


def unit(z: tf.Tensor) -> tf.Tensor:
    """Returns embeddings of length 1, float32 [n, D]; an embedding of zeros stays one."""
    return tf.math.l2_normalize(tf.cast(z, tf.float32), axis=1, epsilon=_SHORTEST**2)


def mean_cosine(predictions: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Returns the mean cosine of the rows of two batches over the global batch, float32 scalar in [-1, 1].

    Args:
        predictions: float [n, D], n = this replica's share of the global batch N.
        targets: Like `predictions`.
    """
    cosines = tf.reduce_sum(unit(predictions) * unit(targets), axis=1)
    return all_reduce_sum(tf.reduce_sum(cosines)) / global_batch_size(predictions)
