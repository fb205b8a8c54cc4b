"""Truths of anchors and proposals: recorded numbers and oracles by hand."""

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.detection import iou, match, match_each_truth
from tests.detection.records import random_boxes, recorded

CASES = [("rpn", match_each_truth, 0.3, 0.7), ("roi", match, 0.5, 0.5)]


@pytest.mark.parametrize(("name", "function", "low", "high"), CASES)
def test_matches_equal_the_recorded_numbers(golden, name, function, low, high):
    record = recorded(golden, "match")
    for overlaps in (tf.constant(record["iou"]), iou(record["truth"], record["proposal"])):
        found = function(overlaps, tf.ones(6, bool), low=low, high=high)
        np.testing.assert_array_equal(found.index, record[f"{name}/index"])
        np.testing.assert_array_equal(found.label, record[f"{name}/label"])
    for overlaps in (tf.constant(record["iou"]), tf.zeros([0, 55])):
        found = function(overlaps, tf.zeros(len(overlaps), bool), low=low, high=high)
        np.testing.assert_array_equal(found.index, record[f"{name}/no_truth_index"])
        np.testing.assert_array_equal(found.label, record[f"{name}/no_truth_label"])


def match_by_hand(overlaps, valid, low, high, each_truth):
    index, label = [], []
    for box in overlaps.T:
        best, number = -1.0, 0
        for truth, value in enumerate(box):
            if valid[truth] and value > best:
                best, number = value, truth
        index.append(number)
        label.append(1 if best >= high else 0 if best < low else -1)
    if each_truth:
        for truth in np.flatnonzero(valid):
            most = overlaps[truth].max()
            for box in np.flatnonzero(overlaps[truth] == most):
                if most > 0:
                    label[box] = 1
    return index, label


@pytest.mark.parametrize(("name", "function", "low", "high"), CASES)
def test_matches_of_padded_batches_equal_those_by_hand(name, function, low, high):
    r = np.random.default_rng(2)
    truths, boxes = random_boxes(r, 3, 6), random_boxes(r, 3, 40)
    truths[:, 1] = truths[:, 0]  # equal truths: the first one counts
    boxes[:, :6] = truths + np.float32(1.0)
    boxes[:, 6:9] = boxes[:, 5:6]  # equal boxes: all tie
    valid = np.arange(6) < np.array([[6], [3], [0]])
    overlaps = iou(truths, boxes)
    compiled = tf.function(lambda o, v: function(o, v, low=low, high=high), jit_compile=True)
    for found in (function(overlaps, valid, low=low, high=high), compiled(overlaps, tf.constant(valid))):
        for image in range(3):
            index, label = match_by_hand(overlaps[image].numpy(), valid[image], low, high, name == "rpn")
            np.testing.assert_array_equal(found.index[image], index)
            np.testing.assert_array_equal(found.label[image], label)


def test_a_truth_that_no_box_touches_makes_none_positive():
    found = match_each_truth(tf.zeros([1, 5]), tf.ones(1, bool), low=0.3, high=0.7)
    np.testing.assert_array_equal(found.label, np.zeros(5))


def test_an_overlap_that_equals_a_threshold_has_reached_it():
    overlaps = tf.constant([[0.5, 0.25, 0.2, 0.9]])
    for function in (match, match_each_truth):
        found = function(overlaps, tf.ones(1, bool), low=0.25, high=0.5)
        np.testing.assert_array_equal(found.label, [1, -1, 0, 1])


@pytest.mark.parametrize(("low", "high"), [(0.7, 0.3), (-0.1, 0.5), (0.5, 1.1)])
def test_thresholds_out_of_order_are_errors(low, high):
    with pytest.raises(ValueError, match="received .* expected"):
        match(tf.zeros([1, 5]), tf.ones(1, bool), low=low, high=high)
