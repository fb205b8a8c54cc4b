"""Standardization of embeddings over the global batch: each dimension to mean 0 and variance 1."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from barlowtf.distribute.collectives import all_reduce_sum, replica_count


def standardize(z: tf.Tensor, epsilon: float = 1e-5) -> tf.Tensor:
    """`z` with mean 0 and biased variance 1 in each dimension, over the global batch; no affine parameters.

    Args:
        z: Embeddings, float of any precision [n, D], n = this replica's share of the global batch N.
        epsilon: Added to the variance, > 0. Default: the authors' code.

    Returns:
        float32 [n, D]. The gradient reaches `z` in its own dtype and includes the paths through mean and variance; on
        several replicas it is that of the sum of their losses (`barlowtf.distribute.collectives`).

    Raises:
        ValueError: `z` is not of rank 2, or `epsilon` <= 0.

    Source: arXiv:2103.03230, section 2.1; facebookresearch/barlowtwins main.py, BarlowTwins.bn.
    """
    z = tf.convert_to_tensor(z)
    if z.shape.rank != 2:
        raise ValueError(f"Invalid embeddings: received shape {z.shape}, expected [n, D].")
    if not epsilon > 0:
        raise ValueError(f"Invalid epsilon: received {epsilon}, expected a number > 0.")

    @tf.custom_gradient
    def _standardized(z32: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        forward = standardize_forward(z32, epsilon)
        return forward.y, lambda dy: standardize_backward(dy, forward)

    return _standardized(tf.cast(z, tf.float32))


class Standardized(NamedTuple):
    """What `standardize_forward` made, and the way back needs."""

    y: tf.Tensor  # float32 [n, D]
    inverse_std: tf.Tensor  # float32 [D], 1 / sqrt(variance + epsilon)
    examples: tf.Tensor  # float32 scalar, N


def standardize_forward(z: tf.Tensor, epsilon: float = 1e-5) -> Standardized:
    """`standardize` of a float32 [n, D] without its gradient, for a function that writes its own."""
    examples = global_batch_size(z)
    if replica_count() == 1:
        y, variance = _fused(z, epsilon, examples)
    else:
        # Two passes: the sum of squares in one pass loses digits where the mean is far from 0.
        centered = z - all_reduce_sum(tf.reduce_sum(z, axis=0)) / examples
        variance = all_reduce_sum(tf.reduce_sum(tf.square(centered), axis=0)) / examples
        y = centered * tf.math.rsqrt(variance + epsilon)
    return Standardized(y, tf.math.rsqrt(variance + epsilon), examples)


def standardize_backward(dy: tf.Tensor, forward: Standardized) -> tf.Tensor:
    """Gradient by z, float32 [n, D], from the gradient `dy` by y: (dy - mean(dy) - y * mean(dy * y)) / std.

    The means are over the global batch.
    """
    y, inverse_std, examples = forward
    shift = all_reduce_sum(tf.reduce_sum(dy, axis=0)) / examples
    slope = all_reduce_sum(tf.reduce_sum(dy * y, axis=0)) / examples
    return (dy - y * slope - shift) * inverse_std


def global_batch_size(z: tf.Tensor) -> tf.Tensor:
    """N as a float32 scalar: the number of rows of `z` [n, D], summed over replicas; their n may differ."""
    return all_reduce_sum(tf.cast(tf.shape(z)[0], tf.float32))


def _fused(z: tf.Tensor, epsilon: float, examples: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Standardized `z` [n, D] and its biased variance [D], by the one kernel that TensorFlow has for it.

    Measured at n = 256, D = 8192 on a CPU: 3 ms, against 6 ms for separate operations.
    """
    width = tf.shape(z)[1]
    # XLA expands this kernel with the variance as E[z^2] - E[z]^2. Taking the first row away brings the mean to the
    # order of the standard deviation, where that loses no digits; the result is the same.
    shifted = z - z[:1]
    output = tf.raw_ops.FusedBatchNormV3(
        x=shifted[:, None, None, :],
        scale=tf.ones([width]),
        offset=tf.zeros([width]),
        mean=[],
        variance=[],
        epsilon=epsilon,
    )
    # The kernel normalizes by the biased variance and returns the unbiased one, times N / max(N - 1, 1).
    variance = output.batch_variance * (tf.maximum(examples - 1.0, 1.0) / examples)
    return tf.ensure_shape(output.y[:, 0, 0, :], z.shape), variance
