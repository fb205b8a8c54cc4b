"""Non-maximum suppression: recorded indices and an oracle by hand."""

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.detection import suppress, suppress_by_class
from tests.detection.records import iou_by_hand, random_boxes, recorded


def kept(found):
    """The kept numbers of each image; the empty places come last and hold 0."""
    index, valid = found.index.numpy(), found.valid.numpy()
    assert (np.sort(~valid, axis=1) == ~valid).all() and not index[~valid].any()
    return [row[present].tolist() for row, present in zip(index, valid, strict=True)]


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("count", [62, 100, 20])
def test_kept_boxes_equal_the_recorded_ones(golden, threshold, count):
    record = recorded(golden, "nms")
    boxes, scores, classes = (tf.constant(record[name])[None] for name in ("boxes", "scores", "classes"))
    everything = tf.ones([1, 62], bool)
    found = suppress(boxes, scores, everything, threshold=threshold, count=count)
    assert found.index.shape == (1, count)
    assert kept(found) == [record[f"keep_{threshold}"][:count].tolist()]
    by_class = suppress_by_class(boxes, scores, classes, everything, threshold=threshold, count=count)
    assert kept(by_class) == [record[f"keep_by_class_{threshold}"][:count].tolist()]


def suppress_by_hand(boxes, scores, classes, valid, threshold, count):
    order = sorted(np.flatnonzero(valid & np.isfinite(scores)), key=lambda number: (-scores[number], number))
    chosen = []
    for number in order:
        if all(
            classes[number] != classes[other] or iou_by_hand(boxes[number], boxes[other]) <= threshold
            for other in chosen
        ):
            chosen.append(int(number))
    return chosen[:count]


@pytest.mark.parametrize(("number", "count"), [(1, 90), (40, 90), (256, 90), (600, 90), (600, 500)])
def test_kept_boxes_of_padded_batches_equal_those_by_hand(number, count):
    """More boxes than one block of 256, ties in score, chains of boxes that remove each other, NaN, padding."""
    r = np.random.default_rng(number)
    boxes = random_boxes(r, 3, number, extent=60.0)
    chain = np.float32([[3 * i, 0, 3 * i + 10, 10] for i in range(number // 2)]).reshape(-1, 4)
    boxes[1, : len(chain)] = chain
    scores = np.float32(r.integers(0, 50, (3, number)) / 50)
    scores[1, : len(chain)] = np.linspace(1, 0.5, len(chain))
    scores[2, : number // 9] = np.nan
    classes, valid = np.int32(r.integers(0, 3, (3, number))), r.uniform(size=(3, number)) < 0.9
    compiled = tf.function(lambda *inputs: suppress_by_class(*inputs, threshold=0.45, count=count), jit_compile=True)
    found = suppress_by_class(*map(tf.constant, (boxes, scores, classes, valid)), threshold=0.45, count=count)
    expected = [suppress_by_hand(boxes[i], scores[i], classes[i], valid[i], 0.45, count) for i in range(3)]
    assert kept(found) == kept(compiled(boxes, scores, classes, valid)) == expected
    assert (number, count) != (600, 500) or max(map(len, expected)) > 256, "a second block must add to the first"


@pytest.mark.parametrize("number", [0, 5])
def test_without_boxes_all_places_are_empty(number):
    found = suppress(
        tf.zeros([2, number, 4]), tf.zeros([2, number]), tf.zeros([2, number], bool), threshold=0.5, count=4
    )
    assert kept(found) == [[], []]


def test_boxes_without_an_area_remove_nothing():
    boxes = tf.constant([[[3.0, 3, 3, 3], [3, 3, 3, 3], [0, 0, 9, 9]]])
    found = suppress(boxes, tf.constant([[0.9, 0.8, 0.7]]), tf.ones([1, 3], bool), threshold=0.0, count=3)
    assert kept(found) == [[0, 1, 2]]


@pytest.mark.parametrize(("threshold", "count"), [(-0.1, 3), (1.1, 3), (0.5, 0)])
def test_wrong_arguments_are_errors(threshold, count):
    with pytest.raises(ValueError, match="received .* expected"):
        suppress(tf.zeros([1, 5, 4]), tf.zeros([1, 5]), tf.ones([1, 5], bool), threshold=threshold, count=count)
