"""VOC's average precision: recorded numbers and an oracle by hand in the devkit's own coordinates."""

import numpy as np
import pytest

from barlowtf.detection import Detections, Truths, area_under, boxes_of_voc, eleven_points, voc_curve, voc_scores
from tests.detection.records import random_boxes, recorded

RULES = [("2007", eleven_points), ("area", area_under)]


def records_of(truth, detections):
    return (
        Truths(truth[:, 0], truth[:, 1], boxes_of_voc(truth[:, 3:]), difficult=truth[:, 2].astype(bool)),
        Detections(detections[:, 0].astype(int), detections[:, 1].astype(int), detections[:, 3:], detections[:, 2]),
    )


@pytest.mark.parametrize(("name", "rule"), RULES)
def test_scores_equal_the_recorded_numbers(golden, name, rule):
    record = recorded(golden, "voc")
    truths, detections = records_of(record["truth"], record["detections"])
    categories = sorted({int(category) for category in record["truth"][:, 1]})
    found = voc_scores(truths, detections, categories=categories, rule=rule)
    for own, its in (("ap", "AP"), ("ap50", "AP50"), ("ap75", "AP75")):
        assert getattr(found, own) == pytest.approx(float(record[f"{name}/{its}"]), rel=1e-12)
    compared = 0
    for key in record:
        _, _, rest = key.partition(f"{name}/class")
        if not rest:
            continue
        category, overlap, _ = rest.split("/")
        curve = voc_curve(truths, detections, category=int(category), overlap=float(overlap))
        assert rule(curve) == pytest.approx(float(record[key]), rel=1e-12)
        compared += 1
    assert compared >= 2 * len(categories)


def test_curves_equal_the_recorded_numbers(golden):
    record = recorded(golden, "voc")
    truths, detections = records_of(record["truth"], record["detections"])
    keys = [key.removesuffix("/recall") for key in record if key.endswith("/recall")]
    assert keys
    for key in keys:
        category, overlap = key.removeprefix("class").split("/")
        curve = voc_curve(truths, detections, category=int(category), overlap=float(overlap))
        # Recorded in float32.
        np.testing.assert_allclose(curve.recall, record[f"{key}/recall"], rtol=1e-7)
        np.testing.assert_allclose(curve.precision, record[f"{key}/precision"], rtol=1e-7)


def curve_by_hand(truth, detections, category, overlap):
    """Counts pixels: boxes from 1, the last pixel included, extents + 1."""
    truth = [row for row in truth if row[1] == category]
    rows = sorted((row for row in detections if row[1] == category), key=lambda row: -row[2])
    found, right, wrong, recall, precision = set(), 0, 0, [], []
    for image, _, _, x1, y1, x2, y2 in np.float64(rows).reshape(-1, 7):
        best, most = None, -1.0
        for number, (other, _, _, *bounds) in enumerate(truth):
            if other == image:
                width = min(x2, bounds[2]) - max(x1 + 1, bounds[0]) + 1
                height = min(y2, bounds[3]) - max(y1 + 1, bounds[1]) + 1
                shared = max(width, 0) * max(height, 0)
                union = (x2 - x1) * (y2 - y1) + (bounds[2] - bounds[0] + 1) * (bounds[3] - bounds[1] + 1) - shared
                if shared / union > most:
                    best, most = number, shared / union
        if most <= overlap:
            wrong += 1
        elif not truth[best][2]:
            right, wrong = right + (best not in found), wrong + (best in found)
            found.add(best)
        recall.append(right / sum(not row[2] for row in truth))
        precision.append(right / max(right + wrong, 1))
    return recall, precision


@pytest.mark.parametrize("overlap", [0.3, 0.5])
def test_curves_equal_those_by_hand(overlap):
    r = np.random.default_rng(11)
    bounds = np.round(random_boxes(r, 60)) + [1, 1, 2, 2]
    truth = np.int64(np.column_stack([r.integers(0, 6, 60), r.integers(0, 2, 60), r.uniform(size=60) < 0.2, bounds]))
    near = truth[r.integers(0, 60, 150)]
    moved = near[:, 3:] - [1, 1, 0, 0] + r.normal(0, 4, (150, 4))
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
    detections = np.float32(np.column_stack([near[:, 0], near[:, 1], r.permutation(150) / 150, moved]))
    truths, found = records_of(truth, detections)
    for category in (0, 1):
        curve = voc_curve(truths, found, category=category, overlap=overlap)
        recall, precision = curve_by_hand(truth, detections, category, overlap)
        np.testing.assert_allclose(curve.recall, recall, rtol=1e-12)
        np.testing.assert_allclose(curve.precision, precision, rtol=1e-12)
        levels = np.arange(0, 1.1, 0.1)
        best = [max([p for q, p in zip(recall, precision, strict=True) if q >= level], default=0) for level in levels]
        assert eleven_points(curve) == pytest.approx(sum(best) / 11, rel=1e-12)
        height = [max(precision[i:]) for i in range(len(precision))]
        steps = np.diff([0, *recall])
        assert area_under(curve) == pytest.approx(float(np.dot(steps, height)), rel=1e-12)


def test_a_recall_of_three_fifths_does_not_reach_the_level_of_six_tenths():
    truths = Truths(np.arange(5), np.zeros(5, int), np.tile([0.0, 0, 9, 9], (5, 1)))
    found = Detections(np.arange(3), np.zeros(3, int), np.tile([0.0, 0, 9, 9], (3, 1)), np.array([0.9, 0.8, 0.7]))
    curve = voc_curve(truths, found, category=0, overlap=0.5)
    assert eleven_points(curve) == pytest.approx(6 / 11) and area_under(curve) == pytest.approx(0.6)


def test_an_overlap_that_equals_the_threshold_is_no_hit():
    truths = Truths(np.array([1]), np.array([0]), np.array([[0.0, 0, 10, 10]]))
    half = Detections(np.array([1]), np.array([0]), np.array([[0.0, 0, 10, 5]]), np.array([0.9]))
    assert voc_curve(truths, half, category=0, overlap=0.5).recall.tolist() == [0]
    assert voc_curve(truths, half, category=0, overlap=0.45).recall.tolist() == [1]


def test_equal_scores_keep_their_order():
    truths = Truths(np.array([1]), np.array([0]), np.array([[0.0, 0, 10, 10]]))
    scores = np.where(np.arange(300) % 3, 0.5, 0.9)
    image = np.where(np.arange(300) == 1, 1, 2)  # the first of score 0.5
    found = Detections(image, np.zeros(300, int), np.tile([0.0, 0, 10, 10], (300, 1)), scores)
    recall = voc_curve(truths, found, category=0, overlap=0.5).recall
    assert not recall[:100].any() and recall[100:].all()


def test_without_detections_or_objects():
    nothing, boxes = np.zeros(0, int), np.zeros((0, 4))
    none = Detections(nothing, nothing, boxes, np.zeros(0))
    truths = Truths(np.array([1]), np.array([0]), np.array([[0.0, 0, 9, 9]]))
    found = voc_scores(truths, none, categories=(0, 1), rule=area_under)
    assert (found.ap, found.ap50, found.ap50_by_category[0]) == (0, 0, 0) and np.isnan(found.ap50_by_category[1])
    difficult = Truths(np.array([1]), np.array([0]), np.array([[0.0, 0, 9, 9]]), difficult=np.array([True]))
    for empty in (difficult, Truths(nothing, nothing, boxes)):
        assert np.isnan(voc_scores(empty, none, categories=(0,)).ap)


@pytest.mark.parametrize(
    "call",
    [
        lambda: Truths(np.arange(2), np.arange(2), np.zeros((3, 4))),
        lambda: Truths(np.arange(2), np.arange(3), np.zeros((2, 4))),
        lambda: Truths(np.arange(2), np.arange(2), np.zeros((2, 4)), masks=[]),
        lambda: Detections(np.arange(1), np.arange(1), np.full((1, 4), np.nan), np.zeros(1)),
        lambda: Detections(np.arange(1), np.arange(1), np.zeros((1, 4)), np.array([np.inf])),
    ],
)
def test_records_that_do_not_fit_are_errors(call):
    with pytest.raises(ValueError, match="received .* expected"):
        call()
