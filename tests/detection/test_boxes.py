"""Areas, overlaps, clipping and deltas of boxes: recorded numbers and oracles by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.detection import CLASS_WEIGHTS, LARGEST_GROWTH, PROPOSAL_WEIGHTS, area, clip, decode, encode, iou
from tests.detection.records import iou_by_hand, random_boxes, recorded


def test_overlaps_equal_the_recorded_numbers(golden):
    record = recorded(golden, "match")
    np.testing.assert_allclose(iou(record["truth"], record["proposal"]), record["iou"], rtol=1e-6)


def test_overlaps_of_batches_equal_those_by_hand():
    r = np.random.default_rng(0)
    first, second = random_boxes(r, 2, 7), random_boxes(r, 2, 5)
    found = iou(first, second)
    expected = [[[iou_by_hand(a, b) for b in second[i]] for a in first[i]] for i in range(2)]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)  # extents are differences of float32
    np.testing.assert_allclose(area(first), np.prod(first[..., 2:] - first[..., :2], axis=-1), rtol=1e-6)


def test_boxes_without_an_area_overlap_nothing():
    boxes = tf.constant([[3.0, 3, 3, 3], [5, 5, 2, 9], [0, 0, 10, 10], [10, 0, 20, 10]])
    assert area(boxes).numpy().tolist() == [0, 0, 100, 100]
    np.testing.assert_array_equal(iou(boxes, boxes), np.diag([0.0, 0, 1, 1]))
    assert iou(boxes[:0], boxes).shape == (0, 4)


def test_boxes_are_cut_to_their_image():
    boxes = tf.constant([[[-5.0, -6, 7, 8], [90, 40, 200, 300], [120, 70, 130, 80]]] * 2)
    cut = clip(boxes, tf.constant([50.0, 300]), tf.constant([100.0, 150]))
    np.testing.assert_array_equal(cut[0], [[0, 0, 7, 8], [90, 40, 100, 50], [100, 50, 100, 50]])
    np.testing.assert_array_equal(cut[1], [[0, 0, 7, 8], [90, 40, 150, 300], [120, 70, 130, 80]])
    np.testing.assert_array_equal(clip(boxes[0], 50, 100), cut[0])


@pytest.mark.parametrize(("name", "weights"), [("w1", PROPOSAL_WEIGHTS), ("w10", CLASS_WEIGHTS)])
def test_deltas_equal_the_recorded_numbers(golden, name, weights):
    record = recorded(golden, "codec")
    source, target = record["source"], record["target"]
    assert weights == tuple(record[f"{name}/weights"])
    assert math.log(LARGEST_GROWTH) == pytest.approx(float(record["clamp"]), rel=1e-12)
    np.testing.assert_allclose(encode(source, target, weights=weights), record[f"{name}/encoded"], rtol=1e-5, atol=1e-5)
    decoded = decode(source[:, None], record["deltas"].reshape(-1, 2, 4), weights=weights)
    np.testing.assert_allclose(tf.reshape(decoded, [-1, 8]), record[f"{name}/decoded"], rtol=1e-5, atol=1e-3)


def test_deltas_equal_those_by_hand_and_lead_to_the_targets():
    r = np.random.default_rng(1)
    boxes, targets = random_boxes(r, 30), random_boxes(r, 30)
    boxes[:, 2:] += 1
    targets[:, 2:] += 1
    deltas = encode(boxes, targets, weights=CLASS_WEIGHTS).numpy()
    for (x1, y1, x2, y2), (u1, v1, u2, v2), delta in zip(np.float64(boxes), np.float64(targets), deltas, strict=True):
        expected = (
            10 * ((u1 + u2) / 2 - (x1 + x2) / 2) / (x2 - x1),
            10 * ((v1 + v2) / 2 - (y1 + y2) / 2) / (y2 - y1),
            5 * math.log((u2 - u1) / (x2 - x1)),
            5 * math.log((v2 - v1) / (y2 - y1)),
        )
        np.testing.assert_allclose(delta, expected, rtol=1e-4, atol=1e-4)
    near = np.abs(deltas[:, 2:]).max(axis=1) < 5 * math.log(LARGEST_GROWTH)
    back = decode(boxes, deltas, weights=CLASS_WEIGHTS)
    assert near.sum() > 20
    np.testing.assert_allclose(back.numpy()[near], targets[near], atol=2e-3)


def test_boxes_without_an_extent_have_finite_deltas():
    empty, box = tf.zeros([1, 4]), tf.constant([[1.0, 2, 3, 4]])
    for pair in ((empty, box), (box, empty), (empty, empty)):
        np.testing.assert_array_equal(encode(*pair), np.zeros((1, 4)))
        with tf.GradientTape() as tape:
            tape.watch(pair)
            total = tf.reduce_sum(encode(*pair))
        assert np.isfinite(tape.gradient(total, pair)).all()


def test_no_side_grows_by_more_than_the_limit():
    box = decode(tf.constant([[0.0, 0, 16, 16]]), tf.constant([[0.0, 0, 1e4, -1e4]]))
    np.testing.assert_allclose(box, [[8 - 500, 8, 8 + 500, 8]], rtol=1e-5)
