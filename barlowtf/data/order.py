"""Which examples a step reads: a pure function of the step number."""

import tensorflow as tf

from barlowtf.errors import DataError


def steps_per_epoch(size: int, batch_size: int) -> int:
    """Returns the whole batches in a data set; the remainder of each epoch is left out.

    Args:
        size: Number of examples, >= 1.
        batch_size: Global batch N, >= 1.

    Raises:
        DataError: The batch is larger than the data set.
    """
    if batch_size > size:
        raise DataError(
            f"The batch is larger than the data set. Received train.batch_size {batch_size} and {size} examples. "
            f"Expected a batch of at most {size}."
        )
    return size // batch_size


def step_ids(step: tf.Tensor, *, size: int, batch_size: int, seed: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the epoch of a step and the examples of its global batch, in order.

    The order of an epoch is the permutation of (seed, epoch), so each example comes at most once in an epoch, and
    size mod batch_size of them, others in each epoch, are left out.

    Args:
        step: Number of the step from the start of training, integer [], >= 0.
        size: Number of examples in the data set, >= batch_size.
        batch_size: Global batch N, >= 1.
        seed: Seed of the run, in [0, 2**31).

    Returns:
        epoch, int64 [], >= 0, and ids, int64 [N], in [0, size).

    Raises:
        DataError: The batch is larger than the data set.
    """
    steps = steps_per_epoch(size, batch_size)
    step = tf.cast(step, tf.int64)
    epoch = step // steps
    places = (step % steps) * batch_size + tf.range(batch_size, dtype=tf.int64)  # [N]
    permutation = tf.stack([tf.constant(seed, tf.int64), epoch])
    ids = tf.random.experimental.index_shuffle(places, permutation, tf.constant(size - 1, tf.int64))
    return epoch, tf.ensure_shape(ids, [batch_size])
