"""COCO's numbers through our own records."""

import json
import sys

import numpy as np
import pytest

from barlowtf.detection import Detections, Truths, coco_box_scores, coco_mask_scores, encode_runs, mask_of_coco
from barlowtf.errors import ConfigError


@pytest.fixture(scope="module")
def case(golden):
    return json.loads((golden / "coco_case.json").read_text())


def boxes_of(records):
    boxes = np.array([record["bbox"] for record in records])
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def masks_of(records):
    return [mask_of_coco(record["segmentation"], height=160, width=200) for record in records]


def column(records, name):
    return np.array([record[name] for record in records])


@pytest.fixture(scope="module")
def records(case):
    truth, found = case["truth"]["annotations"], case["detections"]
    return (
        Truths(
            column(truth, "image_id"),
            column(truth, "category_id"),
            boxes_of(truth),
            crowd=column(truth, "iscrowd").astype(bool),
            areas=column(truth, "area"),
            masks=masks_of(truth),
        ),
        Detections(
            column(found, "image_id"),
            column(found, "category_id"),
            boxes_of(found),
            column(found, "score"),
            masks=masks_of(found),
        ),
    )


@pytest.mark.parametrize(("kind", "function"), [("bbox", coco_box_scores), ("segm", coco_mask_scores)])
def test_scores_equal_the_recorded_numbers(case, records, kind, function, capfd):
    images = [image["id"] for image in case["truth"]["images"]]
    categories = [category["id"] for category in case["truth"]["categories"]]
    scores = function(*records, images=images, categories=categories)
    np.testing.assert_allclose(scores[:12], case["result"][kind]["stats"], rtol=1e-12)
    np.testing.assert_allclose(scores.ap_by_category, case["result"][kind]["ap_by_category"], rtol=1e-12)
    backwards = function(*records, images=images, categories=categories[::-1])
    assert backwards.ap_by_category == scores.ap_by_category[::-1]
    assert capfd.readouterr().out == ""


def test_a_right_and_a_missing_detection():
    square = np.zeros((60, 60), bool)
    square[10:50, 10:50] = True
    mask = [encode_runs(square)]
    box = np.array([[10.0, 10, 50, 50]])
    truths = Truths(np.array([3, 4]), np.array([7, 7]), np.tile(box, (2, 1)), masks=mask * 2)
    found = Detections(np.array([3]), np.array([7]), box, np.array([0.9]), masks=mask)
    for function in (coco_box_scores, coco_mask_scores):
        scores = function(truths, found, images=(3, 4), categories=(7, 8))
        # Recalls 0, 0.01, ... 0.5: 51 of 101. An area of 40² is medium.
        assert scores.ap == scores.ap50 == scores.ap_medium == pytest.approx(51 / 101)
        assert (scores.ap_small, scores.recall1, scores.ap_by_category[1]) == (-1, 0.5, -1)


def test_without_detections_and_without_objects():
    nothing, boxes = np.zeros(0, int), np.zeros((0, 4))
    none = Detections(nothing, nothing, boxes, np.zeros(0))
    truths = Truths(np.array([3]), np.array([7]), np.array([[0.0, 0, 40, 40]]))
    assert coco_box_scores(truths, none, images=(3,), categories=(7,)).ap == 0
    assert coco_box_scores(Truths(nothing, nothing, boxes), none, images=(3,), categories=(7,)).ap == -1
    with pytest.raises(ValueError, match="received .* expected"):
        coco_mask_scores(truths, none, images=(3,), categories=(7,))


def test_pycocotools_is_named_where_it_is_missing(records, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(ConfigError, match=r"pip install .barlowtf\[detection\]"):
        coco_box_scores(*records, images=(1,), categories=(1,))
