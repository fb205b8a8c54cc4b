"""Which tensor of a training step is the first that is not finite."""

from collections.abc import Sequence

import keras
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


def names_of_checked(variables: Sequence[keras.Variable], *, local: bool, mixtures: bool) -> list[str]:
    """Returns the names of the tensors that `first_nonfinite` counts, in the order in which a step makes them.

    Args:
        variables: The trained ones, in the order of their gradients.
        local: Whether there are local views.
        mixtures: Whether there are mixed images.
    """
    views = ["view a", "view b"] + ["local views"] * local
    embedded = views + ["mixtures"] * mixtures
    inputs = [*(f"images of {name}" for name in views), *(f"embeddings of {name}" for name in embedded), "loss"]
    return inputs + [f"gradient of {variable.path}" for variable in variables]
