"""Every random number of a view: a pure function of (seed, epoch, example, stream, index).

No generator, no state, no dependence on the batch: the step number alone determines what comes next. The numbers come
from Threefry-2x32 with 20 rounds in plain integer operations, so that CPU, GPU and XLA give the same bits. The order of
the examples comes from `barlowtf.data.order`.

Source: J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (Threefry, table 2 and section 4.2).
"""

import math
from collections.abc import Sequence

import tensorflow as tf

# One stream for each consumer: draws of different streams of one example are independent.
CROP_A, CROP_B, VIEW_A, VIEW_B = range(4)
# Of an image that a detector learns from: its size and mirror image, the anchors and the regions that are sampled.
RESIZE, ANCHORS, REGIONS = range(4, 7)
# Shared by the views of an example.
WINDOW = 16
# Local view k: its crop, then its operations.
_LOCAL = 32
# Of a step, not of an example.
_MIXTURE = 2**32 - 1
_DIRECTIONS = 2**32 - 2

# Threefry-2x32: rotation of each round modulo 8, rounds between two key injections, and the key schedule's parity word.
_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
_ROUNDS = 20
_ROUNDS_PER_INJECTION = 4
_PARITY = 0x1BD11BDA
# Pair p of an example draws what its first pair will draw p times this many epochs later: no run lasts that long.
_EPOCHS_BETWEEN_PAIRS = 2**24


def example_seeds(seed: int, epoch: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
    """Returns the seed of each example in an epoch.

    Two examples of one epoch never share a seed: Threefry is a bijection of the id.

    Args:
        seed: Seed of the run, in [0, 2**32).
        epoch: Epoch of each example, integer, scalar or [n]; its low 32 bits matter.
        ids: Number of each example in its data set, integer [n]; all 64 bits matter.

    Returns:
        int32 [n, 2], for `uniforms`.

    Raises:
        ValueError: `seed` is out of range.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"Invalid seed: received {seed}, expected an integer in [0, 2**32).")
    id_words = tf.bitcast(tf.cast(ids, tf.int64), tf.uint32)  # [n] -> [n, 2] = low, high word
    epoch_word = tf.bitcast(tf.cast(epoch, tf.int64), tf.uint32)[..., 0]
    first, second = threefry((tf.constant(seed, tf.uint32), epoch_word), (id_words[:, 0], id_words[:, 1]))
    return tf.bitcast(tf.stack([first, second], axis=-1), tf.int32)


def pair_epoch(epoch: tf.Tensor, pair: int) -> tf.Tensor:
    """Returns the epoch whose numbers pair `pair` of an example takes, so that the pairs of an image differ.

    Args:
        epoch: Epoch of the run, integer [], in [0, 2**24).
        pair: Number of the pair of crops of one image, in [0, 256).

    Returns:
        The epoch for `example_seeds`, of the type of `epoch`; pair 0 takes that of the run.
    """
    return epoch + pair * _EPOCHS_BETWEEN_PAIRS


def local_streams(count: int) -> list[tuple[int, int]]:
    """Returns for each of an example's local views the stream of its crop and the stream of its operations.

    Args:
        count: Number of local views, >= 0.
    """
    return [(_LOCAL + 2 * view, _LOCAL + 2 * view + 1) for view in range(count)]


def uniforms(seeds: tf.Tensor, stream: int, count: int) -> tf.Tensor:
    """Returns independent uniform numbers for each example.

    Number i of an example does not depend on `count`, on the batch, nor on the other examples.

    Args:
        seeds: Seeds of the examples, int32 [n, 2], of `example_seeds`.
        stream: Which of an example's independent sequences, in [0, 2**32): `CROP_A`, `CROP_B`, `VIEW_A`, `VIEW_B`,
            or one of `local_streams`.
        count: How many numbers for each example, >= 1.

    Returns:
        float32 [n, count], multiples of 2**-24 in [0, 1).

    Raises:
        ValueError: `stream` or `count` is out of range.
    """
    return uniforms_of_streams(seeds, [stream], count)[:, 0]


def uniforms_of_streams(seeds: tf.Tensor, streams: Sequence[int], count: int) -> tf.Tensor:
    """Returns what `uniforms` gives for each of V streams, float32 [n, V, count], by one evaluation of Threefry.

    Raises:
        ValueError: A stream or `count` is out of range.
    """
    for stream in streams:
        if not 0 <= stream < 2**32:
            raise ValueError(f"Invalid stream: received {stream}, expected an integer in [0, 2**32).")
    if count < 1:
        raise ValueError(f"Invalid count: received {count}, expected at least 1.")
    blocks = (count + 1) // 2
    key = tf.bitcast(seeds, tf.uint32)[:, tf.newaxis, tf.newaxis, :]  # [n, 1, 1, 2]
    counter = tf.constant(list(range(blocks)), tf.uint32), tf.constant([[stream] for stream in streams], tf.uint32)
    words = tf.stack(threefry((key[..., 0], key[..., 1]), counter), axis=-1)  # [n, V, blocks, 2]
    words = tf.reshape(words, [-1, len(streams), 2 * blocks])[..., :count]
    # The upper 24 bits: float32 holds them exactly, so rounding never reaches 1.
    mantissa = tf.bitcast(tf.bitwise.right_shift(words, tf.constant(8, tf.uint32)), tf.int32)
    return tf.cast(mantissa, tf.float32) * 2.0**-24


def mixing_share(seed: int, step: tf.Tensor) -> tf.Tensor:
    """Returns the share of view a in a step's mixtures of images.

    Args:
        seed: Seed of the run, in [0, 2**32).
        step: Number of the step, integer [], >= 0.

    Returns:
        float32 [], uniform in [0, 1): Beta(1, 1), as in wgcban/mix-bt.
    """
    return uniforms(example_seeds(seed, step, tf.zeros([1], tf.int64)), _MIXTURE, 1)[0, 0]


def random_directions(seed: int, step: tf.Tensor, count: int, width: int) -> tf.Tensor:
    """Returns vectors of length 1 in uniform directions, drawn anew for each step.

    Direction m does not depend on `count`.

    Args:
        seed: Seed of the run, in [0, 2**32).
        step: Number of the step, integer [], >= 0.
        count: Number M of directions, >= 1.
        width: Dimensions D, >= 1.

    Returns:
        float32 [M, D]: normal numbers (Box and Muller's transform), divided by their length.
    """
    half = (width + 1) // 2
    u = uniforms(example_seeds(seed, step, tf.range(count, dtype=tf.int64)), _DIRECTIONS, 2 * half)
    radii, angles = tf.sqrt(-2.0 * tf.math.log1p(-u[:, :half])), 2.0 * math.pi * u[:, half:]
    normal = tf.concat([radii * tf.cos(angles), radii * tf.sin(angles)], axis=1)[:, :width]
    return tf.math.l2_normalize(normal, axis=1)


def threefry(key: tuple[tf.Tensor, tf.Tensor], counter: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the Threefry-2x32-20 block of each key and counter.

    Args:
        key: Two words, uint32, shapes that broadcast with the counter's.
        counter: Two words, uint32.

    Returns:
        Two words, uint32, of the broadcast shape.

    Source: Salmon et al., SC 2011; known answers: Random123's `kat_vectors`.
    """
    schedule = (key[0], key[1], tf.bitwise.bitwise_xor(tf.bitwise.bitwise_xor(key[0], key[1]), _word(_PARITY)))
    first, second = counter[0] + schedule[0], counter[1] + schedule[1]
    for step in range(_ROUNDS):
        first += second
        second = tf.bitwise.bitwise_xor(_rotate_left(second, _ROTATIONS[step % len(_ROTATIONS)]), first)
        if (step + 1) % _ROUNDS_PER_INJECTION == 0:
            injection = (step + 1) // _ROUNDS_PER_INJECTION
            first += schedule[injection % 3]
            second += schedule[(injection + 1) % 3] + _word(injection)
    return first, second


def _rotate_left(word: tf.Tensor, bits: int) -> tf.Tensor:
    left = tf.bitwise.left_shift(word, _word(bits))
    return tf.bitwise.bitwise_or(left, tf.bitwise.right_shift(word, _word(32 - bits)))


def _word(value: int) -> tf.Tensor:
    return tf.constant(value, tf.uint32)
