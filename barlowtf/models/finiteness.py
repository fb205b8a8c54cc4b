"""Which tensor of a training step is the first that is not finite."""

import tensorflow as tf


def square_sum(tensor: tf.Tensor) -> tf.Tensor:
    """Returns the sum of squares, float32 []."""
    # l2_loss, not a sum of squares: one pass over the memory, no squared copy.
    return 2.0 * tf.nn.l2_loss(tf.cast(tensor, tf.float32))


def all_finite(tensor: tf.Tensor) -> tf.Tensor:
    """Returns whether every value is finite, bool []."""
    return tf.reduce_all(tf.math.is_finite(tensor))


def first_nonfinite(forward: list[tf.Tensor], gradient_sums: tf.Tensor) -> tf.Tensor:
    """Returns the index of the first entry that is not finite, -1.0 when all are, float32 [].

    Args:
        forward: Whether what the forward pass makes is finite, bool [] each.
        gradient_sums: Sum of squares of every gradient, float32 [V].
    """
    bad = tf.logical_not(tf.concat([tf.stack(forward), tf.math.is_finite(gradient_sums)], axis=0))
    first = tf.cast(tf.argmax(tf.cast(bad, tf.int32)), tf.float32)
    return tf.where(tf.reduce_any(bad), first, -1.0)
