"""Every order of examples and every sample of them: pure functions of integers, the same on every machine.

Two definitions, neither of them a generator with a state:

1. The index shuffle: a keyed permutation of 0..size-1 that is computed place by place, so that a step needs only its
   own places and a sample only its own members. It is a block cipher (Simon, 4 rounds) on words of W bits, 2 W at least
   16 and enough for the size, applied again while the result is outside the range. TensorFlow's operation
   RandomIndexShuffle computes it; the tests define it in Python integers and hold recorded values. Seed and epoch
   enter modulo 2**W: with up to 65,536 examples, seeds 256 apart and epochs 256 apart have the same order.
2. Sorting by SHA-256 of a text and the number (`hashed_order`), for class-balanced draws.

The random numbers of the views come from `barlowtf.augment.draws`.
"""

import hashlib

import numpy as np
import tensorflow as tf

from barlowtf.errors import DataError


def steps_per_epoch(size: int, batch_size: int) -> int:
    """Returns the number of whole batches in a data set; the remainder of each epoch is left out.

    Args:
        size: Number of examples, >= 1.
        batch_size: Global batch N, >= 1.

    Raises:
        DataError: The batch is larger than the data set.
    """
    if batch_size > size:
        raise DataError(
            f"Invalid train.batch_size: received {batch_size}, expected at most {size}, the number of examples."
        )
    return size // batch_size


def step_ids(
    step: tf.Tensor, *, size: int, batch_size: int, seed: int, first_epoch: int = 0
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the epoch of a pre-training step and the examples of its global batch, in order.

    The order of an epoch is the permutation of (seed, epoch), so each example comes at most once in an epoch, and
    size mod batch_size of them, others in each epoch, are left out.

    Args:
        step: Number of the step from the start of training, integer [], >= 0.
        size: Number of examples in the data set, >= batch_size.
        batch_size: Global batch N, >= 1.
        seed: Seed of the run, in [0, 2**31).
        first_epoch: Epoch of step 0, >= 0.

    Returns:
        epoch, int64 [], >= `first_epoch`, and ids, int64 [N], in [0, size).

    Raises:
        DataError: The batch is larger than the data set.
    """
    steps = steps_per_epoch(size, batch_size)
    step = tf.cast(step, tf.int64)
    epoch = step // steps + first_epoch
    places = (step % steps) * batch_size + tf.range(batch_size, dtype=tf.int64)  # [N]
    return epoch, tf.ensure_shape(_shuffle(places, size, seed, epoch), [batch_size])


def steps_per_pass(size: int, batch_size: int) -> int:
    """Returns the number of batches in a pass over all examples; the last one is smaller where it must be.

    Args:
        size: Number of examples, >= 1.
        batch_size: Global batch N, >= 1.
    """
    return -(-size // batch_size)


def pass_ids(step: tf.Tensor, *, size: int, batch_size: int, seed: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the epoch of a step and the places of its batch where each epoch takes every example once.

    Args:
        step: Number of the step from the start of training, integer [], >= 0.
        size: Number of examples, >= 1.
        batch_size: Global batch N, >= 1; the last batch of an epoch is smaller where it must be.
        seed: Seed of the order, in [0, 2**31).

    Returns:
        epoch, int64 [], >= 0, and places, int64 [<= N], in [0, size).
    """
    steps = steps_per_pass(size, batch_size)
    step = tf.cast(step, tf.int64)
    epoch, start = step // steps, (step % steps) * batch_size
    places = tf.range(start, tf.minimum(start + batch_size, size), dtype=tf.int64)
    return epoch, _shuffle(places, size, seed, epoch)


def permutation(size: int, *, seed: int, epoch: int = 0) -> np.ndarray:
    """Returns the numbers 0..size-1 in the order of (seed, epoch).

    Args:
        size: How many numbers, >= 1.
        seed: Seed of the order, in [0, 2**31).
        epoch: Which of the seed's orders, >= 0.

    Returns:
        int64 [size].

    Raises:
        ValueError: An argument is out of range.
    """
    return _first(size, size, seed, epoch)


def sample_ids(size: int, count: int, *, seed: int) -> np.ndarray:
    """Returns the numbers of at most `count` examples, drawn without replacement: the first of `permutation`, sorted.

    Args:
        size: Number of examples in the data set, >= 1.
        count: How many to draw, >= 1; all of them where `count` >= `size`.
        seed: Seed of the draw, in [0, 2**31).

    Returns:
        int64 [min(count, size)], sorted.

    Raises:
        ValueError: An argument is out of range.
    """
    if count >= size >= 1:
        return np.arange(size, dtype=np.int64)
    return np.sort(_first(size, count, seed, epoch=0))


def hashed_order(numbers: np.ndarray, salt: str) -> np.ndarray:
    """Returns the places of some numbers, sorted by the SHA-256 of salt and number.

    Args:
        numbers: Different integers [n].
        salt: What sets this order apart from others, for example "SEED/example".

    Returns:
        int64 [n].
    """
    digests = [hashlib.sha256(f"{salt}/{number}".encode()).digest() for number in numbers.tolist()]
    return np.array(sorted(range(len(digests)), key=digests.__getitem__), np.int64)


def _first(size: int, count: int, seed: int, epoch: int) -> np.ndarray:
    """Returns the first `count` numbers of a permutation, int64 [count]."""
    for argument, value, least in (("size", size, 1), ("count", count, 1), ("seed", seed, 0), ("epoch", epoch, 0)):
        if value < least:
            raise ValueError(f"Invalid {argument}: received {value}, expected at least {least}.")
    if seed >= 2**31:
        raise ValueError(f"Invalid seed: received {seed}, expected less than 2**31.")
    with tf.device("CPU:0"):
        return _shuffle(tf.range(count, dtype=tf.int64), size, seed, tf.constant(epoch, tf.int64)).numpy()


def _shuffle(places: tf.Tensor, size: int, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Returns the examples at some places, int64 [n], of the order of (seed, epoch), int64 [n]."""
    key = tf.stack([tf.constant(seed, tf.int64), epoch])

    def shuffle(places: tf.Tensor, largest: int) -> tf.Tensor:
        return tf.random.experimental.index_shuffle(places, key, tf.constant(largest, tf.int64))

    if not _lacks_a_bit(size - 1):
        return shuffle(places, size - 1)
    # One number more, and the place that leads to it goes on to where that number leads: still a permutation.
    found = shuffle(places, size)
    return tf.where(found == size, shuffle(tf.constant(size, tf.int64), size), found)


def _lacks_a_bit(largest: int) -> bool:
    """Returns whether TensorFlow takes too few bits for a range 0..largest, so that its result is no permutation.

    It takes ceil(log2(largest)) bits, made even and at least 16: one too few for 2**16, 2**18, 2**20 and so on.
    """
    return largest >= 2**16 and largest & (largest - 1) == 0 and largest.bit_length() % 2 == 1
