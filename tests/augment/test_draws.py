"""Stateless random numbers: published vectors, a pure-Python oracle, independence of the batch."""

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.augment import draws as draws_module
from barlowtf.augment.draws import (
    CROP_A,
    CROP_B,
    VIEW_A,
    VIEW_B,
    example_seeds,
    threefry,
    uniforms,
    uniforms_of_streams,
)

# Random123 1.09, kat_vectors, threefry2x32 with 20 rounds: counter, key, result.
KNOWN_ANSWERS = [
    ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]


def _oracle(key, counter):
    """Threefry-2x32-20 in Python integers."""
    schedule = [*key, key[0] ^ key[1] ^ 0x1BD11BDA]
    x = [(counter[i] + schedule[i]) % 2**32 for i in range(2)]
    for round_ in range(20):
        x[0] = (x[0] + x[1]) % 2**32
        rotation = (13, 15, 26, 6, 17, 29, 16, 24)[round_ % 8]
        x[1] = (x[1] << rotation | x[1] >> 32 - rotation) % 2**32 ^ x[0]
        if round_ % 4 == 3:
            s = round_ // 4 + 1
            x = [(x[0] + schedule[s % 3]) % 2**32, (x[1] + schedule[(s + 1) % 3] + s) % 2**32]
    return tuple(x)


def _block(key, counter):
    words = threefry(tuple(tf.constant(k, tf.uint32) for k in key), tuple(tf.constant(c, tf.uint32) for c in counter))
    return tuple(int(word) for word in words)


@pytest.mark.parametrize("counter, key, expected", KNOWN_ANSWERS)
def test_threefry_gives_the_published_vectors(counter, key, expected):
    assert _block(key, counter) == expected


def test_example_seeds_and_uniforms_follow_the_oracle():
    ids = [0, 1, 2**31 + 5, 2**40 + 3]
    seeds = example_seeds(7, tf.constant(3, tf.int64), tf.constant(ids, tf.int64)).numpy()
    drawn = uniforms(tf.constant(seeds), VIEW_B, 5).numpy()
    for row, i in enumerate(ids):
        key = _oracle((7, 3), (i % 2**32, i >> 32))
        assert tuple(int(word) for word in seeds[row].view(np.uint32)) == key
        words = [word for block in range(3) for word in _oracle(key, (block, VIEW_B))][:5]
        np.testing.assert_array_equal(drawn[row], np.float32([(word >> 8) / 2**24 for word in words]))


def test_xla_gives_the_same_bits():
    ids = tf.range(64, dtype=tf.int64)
    plain = uniforms(example_seeds(1, 2, ids), CROP_A, 9)

    @tf.function(jit_compile=True)
    def compiled(ids):
        return uniforms(example_seeds(1, 2, ids), CROP_A, 9)

    np.testing.assert_array_equal(plain, compiled(ids))


def test_an_example_does_not_depend_on_its_batch_or_on_count():
    ids = tf.range(100, dtype=tf.int64)
    whole = uniforms(example_seeds(0, 5, ids), CROP_B, 40).numpy()
    order = np.random.default_rng(0).permutation(100)[:17]
    part = uniforms(example_seeds(0, tf.fill([17], tf.constant(5, tf.int64)), tf.gather(ids, order)), CROP_B, 7)
    np.testing.assert_array_equal(whole[order, :7], part)


def test_seed_epoch_id_and_stream_each_change_the_draws():
    base = uniforms(example_seeds(0, 0, tf.constant([0], tf.int64)), CROP_A, 8).numpy()
    others = [
        uniforms(example_seeds(1, 0, tf.constant([0], tf.int64)), CROP_A, 8),
        uniforms(example_seeds(0, 1, tf.constant([0], tf.int64)), CROP_A, 8),
        uniforms(example_seeds(0, 0, tf.constant([1], tf.int64)), CROP_A, 8),
        uniforms(example_seeds(0, 0, tf.constant([2**32], tf.int64)), CROP_A, 8),
        uniforms(example_seeds(0, 0, tf.constant([0], tf.int64)), VIEW_A, 8),
    ]
    for other in others:
        assert not np.any(base == other.numpy())


def test_several_streams_at_once_give_the_bits_of_each():
    seeds = example_seeds(3, 1, tf.range(7, dtype=tf.int64))
    streams = [VIEW_B, 40, CROP_A]
    together = uniforms_of_streams(seeds, streams, 5)
    assert together.shape == (7, 3, 5)
    for number, stream in enumerate(streams):
        np.testing.assert_array_equal(together[:, number], uniforms(seeds, stream, 5))


def test_uniforms_are_uniform_and_uncorrelated():
    draws = uniforms(example_seeds(3, 0, tf.range(20_000, dtype=tf.int64)), VIEW_A, 6).numpy()
    assert draws.min() >= 0 and draws.max() < 1
    counts = np.histogram(draws, bins=50, range=(0, 1))[0]
    expected = draws.size / 50
    # Chi-square with 49 degrees of freedom: mean 49, standard deviation 9.9; 5 deviations above.
    assert ((counts - expected) ** 2 / expected).sum() < 49 + 5 * 9.9
    # A correlation of independent draws has standard deviation 1 / sqrt(20,000); 5 deviations.
    correlation = np.corrcoef(draws.T) - np.eye(6)
    assert np.abs(correlation).max() < 5 / np.sqrt(20_000)


def test_seeds_of_one_epoch_are_distinct():
    seeds = example_seeds(0, 0, tf.range(50_000, dtype=tf.int64)).numpy()
    assert len(np.unique(seeds, axis=0)) == 50_000


@pytest.mark.parametrize(
    "call",
    [
        lambda: example_seeds(-1, 0, [0]),
        lambda: draws_module.uniforms(tf.zeros([1, 2], tf.int32), -1, 2),
        lambda: draws_module.uniforms(tf.zeros([1, 2], tf.int32), 0, 0),
    ],
)
def test_arguments_out_of_range_raise(call):
    with pytest.raises(ValueError, match="Invalid .*: received .*, expected"):
        call()
