"""Which examples a step reads."""

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.data import step_ids, steps_per_epoch
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


def test_the_order_stays_as_recorded():
    # A new TensorFlow that shuffles otherwise would break every resumed run: this must be seen.
    epoch, ids = step_ids(tf.constant(13), size=50, batch_size=8, seed=4)
    assert epoch.numpy() == 2
    np.testing.assert_array_equal(ids, [49, 41, 17, 13, 32, 27, 39, 11])


def test_batch_larger_than_the_data_set():
    assert steps_per_epoch(10, 10) == 1
    with pytest.raises(DataError, match="Received train.batch_size 11 and 10 examples"):
        step_ids(tf.constant(0), size=10, batch_size=11, seed=0)
