"""Draws of positive and negative boxes."""

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.detection import IGNORED, NEGATIVE, POSITIVE, sample


def draw(labels, keys, **settings):
    eager = sample(tf.constant(labels), tf.constant(keys), **settings)
    compiled = tf.function(lambda a, b: sample(a, b, **settings), jit_compile=True)(labels, keys)
    for one, other in zip(eager, compiled, strict=True):
        np.testing.assert_array_equal(one, other)
    return [part.numpy() for part in eager]


@pytest.mark.parametrize(
    ("positives", "negatives", "expected"),
    [(30, 50, (4, 12)), (2, 50, (2, 14)), (0, 50, (0, 16)), (30, 5, (4, 5)), (0, 0, (0, 0)), (1, 1, (1, 1))],
)
def test_negatives_fill_up_and_places_stay_empty_where_there_are_none(positives, negatives, expected):
    r = np.random.default_rng(3)
    labels = np.full((2, 90), IGNORED, np.int32)
    labels[:, :positives] = POSITIVE
    labels[:, positives : positives + negatives] = NEGATIVE
    labels = r.permuted(labels, axis=1)
    keys = np.float32(r.uniform(size=labels.shape))
    index, positive, valid = draw(labels, keys, count=16, positive_fraction=0.25)
    for image in range(2):
        n = sum(expected)
        assert (positive[image].sum(), valid[image].sum()) == (expected[0], n)
        assert valid[image, :n].all() and positive[image, : expected[0]].all()
        assert len(set(index[image, :n])) == n and not index[image, n:].any()
        chosen = labels[image, index[image, :n]]
        np.testing.assert_array_equal(chosen, [POSITIVE] * expected[0] + [NEGATIVE] * expected[1])
        # Those of the smallest keys, in their order.
        for label, part in ((POSITIVE, index[image, : expected[0]]), (NEGATIVE, index[image, expected[0] : n])):
            candidates = np.flatnonzero(labels[image] == label)
            np.testing.assert_array_equal(part, candidates[np.argsort(keys[image, candidates])][: len(part)])


def test_fewer_boxes_than_places():
    index, positive, valid = draw(np.int32([1, 0, -1]), np.float32([0.5, 0.5, 0.1]), count=8, positive_fraction=1.0)
    assert (index[:2].tolist(), positive.sum(), valid.sum()) == ([0, 1], 1, 2)


def test_all_boxes_are_drawn_equally_often():
    r = np.random.default_rng(4)
    labels = np.tile(np.int32([0] * 10 + [1] * 10), (4000, 1))
    drawn = sample(
        tf.constant(labels), tf.constant(np.float32(r.uniform(size=labels.shape))), count=8, positive_fraction=0.5
    )
    counts = np.bincount(drawn.index.numpy().ravel(), minlength=20)
    # 4000 draws with probability 0.4: within 4 deviations.
    np.testing.assert_allclose(counts, 1600, atol=4 * np.sqrt(4000 * 0.4 * 0.6))


@pytest.mark.parametrize(("count", "fraction"), [(0, 0.5), (4, -0.1), (4, 1.1)])
def test_wrong_arguments_are_errors(count, fraction):
    with pytest.raises(ValueError, match="received .* expected"):
        sample(tf.zeros(5, tf.int32), tf.zeros(5), count=count, positive_fraction=fraction)
