"""Every order and sample: the definition in Python integers, recorded values, and the properties."""

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.data import order, pass_ids, permutation, sample_ids, step_ids, steps_per_epoch, steps_per_pass
from barlowtf.data.order import hashed_order
from barlowtf.errors import DataError


def epoch_of_ids(epoch, *, size, batch_size, seed):
    steps = size // batch_size
    ids = []
    for step in range(epoch * steps, (epoch + 1) * steps):
        received, part = step_ids(tf.constant(step), size=size, batch_size=batch_size, seed=seed)
        assert received.numpy() == epoch and part.dtype == tf.int64 and part.shape == (batch_size,)
        ids.extend(part.numpy().tolist())
    return ids


@pytest.mark.parametrize(("size", "batch_size"), [(101, 10), (64, 8), (7, 7), (1, 1)])
def test_each_example_comes_at_most_once_in_an_epoch(size, batch_size):
    for epoch in (0, 3):
        ids = epoch_of_ids(epoch, size=size, batch_size=batch_size, seed=1)
        assert len(ids) == len(set(ids)) == size // batch_size * batch_size
        assert set(ids) <= set(range(size))


def test_epochs_seeds_and_remainders_differ():
    first, second = (epoch_of_ids(epoch, size=101, batch_size=10, seed=1) for epoch in (0, 1))
    other = epoch_of_ids(0, size=101, batch_size=10, seed=2)
    # Two independent permutations agree in 1 of 101 places on average; 8 has a probability below 1e-5.
    assert sum(a == b for a, b in zip(first, second, strict=True)) < 8
    assert sum(a == b for a, b in zip(first, other, strict=True)) < 8
    left_out = {min(set(range(101)) - set(epoch_of_ids(epoch, size=101, batch_size=10, seed=1))) for epoch in range(8)}
    # 8 draws of 101: fewer than 4 different ones has a probability below 1e-6.
    assert len(left_out) >= 4


def test_order_is_uniform():
    batch = [step_ids(tf.constant(epoch * 5), size=50, batch_size=10, seed=9)[1].numpy() for epoch in range(400)]
    counts = np.bincount(np.concatenate(batch), minlength=50)
    # 400 draws of 10 from 50: mean 80, standard deviation sqrt(400 * .2 * .8) = 8; the worst of 50 within 4.5 of them.
    assert abs(counts - 80).max() <= 36


def oracle(place, size, seed, epoch):
    """The index shuffle in Python integers: Simon with four rounds, applied until the result is inside the range."""
    if size == 1:
        return 0
    bits = max(16, (size - 2).bit_length() + (size - 2).bit_length() % 2)  # ceil(log2(size - 1)), made even
    word = bits // 2
    mask = 2**word - 1

    def turn(x, by):
        return (x << by | x >> word - by) & mask

    def mix(x):
        return turn(x, 1) & turn(x, 8) ^ turn(x, 2)

    keys = [key & mask for key in (498247692, seed, epoch)]
    # Simon's constant, the lowest bit of its sequence, and key words three, one and one before.
    constant = 0xFFFFFFFC & mask
    keys.append(constant ^ 1 ^ keys[0] ^ turn(keys[2], word - 3) ^ turn(keys[2], word - 4))
    while True:
        left, right = place >> word & mask, place & mask
        for first, second in (keys[:2], keys[2:]):
            left ^= mix(right) ^ first
            right ^= mix(left) ^ second
        place = left << word | right
        if place < size:
            return place


@pytest.mark.parametrize("size", [1, 2, 50, 1437, 65536, 65538, 1_281_167, 2**33])
def test_the_order_is_the_one_defined_here(size):
    places = [0, 1, size // 3, size - 1] if size > 3 else list(range(size))
    for seed, epoch in ((0, 0), (4, 2), (2**31 - 1, 300)):
        for place in places:
            step = tf.constant(epoch * size + place, tf.int64)
            received, ids = step_ids(step, size=size, batch_size=1, seed=seed)
            assert (int(received), int(ids[0])) == (epoch, oracle(place, size, seed, epoch))


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 65_538, 2**18 + 1])
def test_large_orders_are_permutations(size):
    # TensorFlow's operation alone takes one bit too few for 2**16 + 1, 2**18 + 1 and so on.
    assert len(np.unique(permutation(size, seed=3, epoch=1))) == size


def test_the_detour_is_taken_where_tensorflow_lacks_a_bit_and_nowhere_else():
    # Elsewhere it leads to the same order, and costs a second shuffle.
    found = [largest for largest in range(1, 2**20 + 2) if order._lacks_a_bit(largest)]
    assert found == [2**16, 2**18, 2**20]


def test_the_order_stays_as_recorded():
    # A new TensorFlow that shuffles otherwise would break every resumed run: this must be seen.
    epoch, ids = step_ids(tf.constant(13), size=50, batch_size=8, seed=4)
    assert epoch.numpy() == 2
    np.testing.assert_array_equal(ids, [49, 41, 17, 13, 32, 27, 39, 11])


def test_batch_larger_than_the_data_set():
    assert steps_per_epoch(10, 10) == 1
    with pytest.raises(DataError, match="Invalid train.batch_size: received 11, expected at most 10"):
        step_ids(tf.constant(0), size=10, batch_size=11, seed=0)


def test_a_pass_takes_every_example_once():
    assert [steps_per_pass(9, size) for size in (4, 9, 10)] == [3, 1, 1]
    for epoch in (0, 2):
        parts = [pass_ids(tf.constant(3 * epoch + step), size=9, batch_size=4, seed=5) for step in range(3)]
        assert [int(found) for found, _ in parts] == [epoch] * 3
        assert [len(places) for _, places in parts] == [4, 4, 1]
        np.testing.assert_array_equal(np.concatenate([p for _, p in parts]), permutation(9, seed=5, epoch=epoch))


def test_permutations_and_samples_stay_as_recorded():
    np.testing.assert_array_equal(permutation(8, seed=0), [0, 2, 1, 7, 4, 5, 3, 6])
    np.testing.assert_array_equal(permutation(8, seed=0, epoch=1), [1, 7, 5, 4, 3, 2, 6, 0])
    np.testing.assert_array_equal(sample_ids(100, 5, seed=0), [46, 58, 69, 80, 89])
    np.testing.assert_array_equal(sample_ids(4, 9, seed=0), [0, 1, 2, 3])
    np.testing.assert_array_equal(hashed_order(np.array([7, 8, 9, 10]), "1/example"), [2, 0, 1, 3])


def test_samples_are_drawn_without_replacement():
    ids = sample_ids(1000, 100, seed=3)
    assert ids.dtype == np.int64 and len(np.unique(ids)) == 100
    assert (np.diff(ids) > 0).all() and ids[0] >= 0 and ids[-1] < 1000
    np.testing.assert_array_equal(ids, np.sort(permutation(1000, seed=3)[:100]))
    counts = np.bincount(np.concatenate([sample_ids(50, 10, seed=seed) for seed in range(250)]), minlength=50)
    # 250 draws of 10 from 50: mean 50, standard deviation sqrt(250 * .2 * .8) = 6.3; the worst of 50 within 4.5.
    assert abs(counts - 50).max() <= 28


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sample_ids(10, 0, seed=0), "Invalid count: received 0, expected at least 1"),
        (lambda: sample_ids(0, 1, seed=0), "Invalid size: received 0, expected at least 1"),
        (lambda: permutation(0, seed=0), "Invalid size: received 0"),
        (lambda: permutation(3, seed=-1), "Invalid seed: received -1"),
        (lambda: permutation(3, seed=2**31), "Invalid seed: received 2147483648"),
        (lambda: permutation(3, seed=0, epoch=-1), "Invalid epoch: received -1"),
    ],
)
def test_arguments_out_of_range(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_first_epoch_may_be_a_later_one():
    for step in (0, 9, 10):
        epoch, ids = step_ids(tf.constant(step), size=101, batch_size=10, seed=1, first_epoch=3)
        expected_epoch, expected = step_ids(tf.constant(30 + step), size=101, batch_size=10, seed=1)
        assert epoch.numpy() == expected_epoch.numpy()
        np.testing.assert_array_equal(ids, expected)
