"""Average precision of detections by the VOC devkit. NumPy only.

The devkit counts pixels from 1 with the last one included, and gives a detected box's first corner 1 more. In
continuous coordinates from 0 all of this cancels: its overlap is the intersection over union of the boxes as they are.

`barlowtf.metrics.average_precision` is about images with a class or without: there equal scores count together and
recalls are compared as integers, where the devkit's detector takes detections one by one and recalls in floating point.

Source: facebookresearch/detectron2 evaluation/pascal_voc_evaluation.py, voc_eval and voc_ap.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from barlowtf.detection.instances import Detections, Truths

_LEVELS = np.arange(0.0, 1.1, 0.1)  # 0.3, 0.6 and 0.7 come out a little higher, as in the devkit
_OVERLAPS = tuple(range(50, 100, 5))  # percent


class Curve(NamedTuple):
    """Recall and precision of one class after each detection that counts, by falling score."""

    recall: np.ndarray  # float64 [m] in [0, 1]; NaN where the class has no object that counts
    precision: np.ndarray  # float64 [m] in [0, 1]


class VOCScores(NamedTuple):
    """Mean average precision in percent, over the classes that have objects."""

    ap: float  # mean over the overlaps 0.5, 0.55, ... 0.95
    ap50: float
    ap75: float
    ap50_by_category: tuple[float, ...]  # NaN for a class without objects


def boxes_of_voc(bounds: np.ndarray) -> np.ndarray:
    """Returns boxes in continuous pixels from 0.

    Args:
        bounds: xmin, ymin, xmax, ymax as in VOC's XML files: pixels from 1, the last one included; [n, 4].

    Returns:
        float64 [n, 4] = x1, y1, x2, y2.
    """
    return np.asarray(bounds, np.float64) - (1.0, 1.0, 0.0, 0.0)


def voc_curve(truths: Truths, detections: Detections, *, category: int, overlap: float) -> Curve:
    """Returns recall and precision of one class.

    A detection is right if the object that it overlaps most has an overlap above the threshold and was not found by an
    earlier one. Where that object is difficult, the detection counts neither way.

    Args:
        truths: Objects of all classes.
        detections: Detections of all classes. Of equal scores the first comes first.
        category: Number of the class.
        overlap: Intersection over union beyond which an object is found, in [0, 1).

    Returns:
        Curve, one point a detection; one that counts neither way repeats the point before it.
    """
    mine = np.asarray(truths.category) == category
    image, boxes = np.asarray(truths.image)[mine], np.asarray(truths.boxes, np.float64)[mine]
    difficult = np.zeros(len(image), bool) if truths.difficult is None else np.asarray(truths.difficult, bool)[mine]
    chosen = np.flatnonzero(np.asarray(detections.category) == category)
    chosen = chosen[np.argsort(-np.asarray(detections.scores, np.float64)[chosen], kind="stable")]
    found = np.zeros(len(image), bool)
    right, wrong = np.zeros(len(chosen)), np.zeros(len(chosen))
    for place, number in enumerate(chosen):
        candidates = np.flatnonzero(image == detections.image[number])
        overlaps = _overlaps(np.asarray(detections.boxes[number], np.float64), boxes[candidates])
        if not len(candidates) or not overlaps.max() > overlap:
            wrong[place] = 1
            continue
        truth = candidates[overlaps.argmax()]
        if not difficult[truth]:
            (wrong if found[truth] else right)[place] = 1
            found[truth] = True
    right, counted = np.cumsum(right), np.cumsum(right + wrong)
    objects = np.count_nonzero(~difficult)
    recall = right / objects if objects else np.full(len(right), np.nan)
    return Curve(recall, right / np.maximum(counted, 1))


def eleven_points(curve: Curve) -> float:
    """Returns the mean over the recalls 0, 0.1, ... 1 of the best precision there or beyond, the rule of VOC 2007.

    Args:
        curve: Of one class.

    Returns:
        In [0, 1].
    """
    reached = [curve.precision[curve.recall >= level] for level in _LEVELS]
    return float(np.mean([precision.max(initial=0.0) for precision in reached]))


def area_under(curve: Curve) -> float:
    """Returns the area under the best precision at each recall or beyond, the rule since VOC 2010.

    Args:
        curve: Of one class.

    Returns:
        In [0, 1].
    """
    best = np.maximum.accumulate(curve.precision[::-1])[::-1]
    return float(np.sum(np.diff(curve.recall, prepend=0.0) * best))


def voc_scores(
    truths: Truths, detections: Detections, *, categories: Sequence[int], rule: Callable[[Curve], float] = eleven_points
) -> VOCScores:
    """Returns the mean average precision of all classes.

    Args:
        truths: Objects of all classes.
        detections: Detections of all classes.
        categories: Numbers of the classes.
        rule: `eleven_points` (VOC 2007, the default) or `area_under`.

    Returns:
        VOCScores; NaN where no class has an object.

    Source: detectron2's PascalVOCDetectionEvaluator. Differs in leaving a class without objects out of the mean.
    """
    table = np.full((len(categories), len(_OVERLAPS)), np.nan)
    difficult = np.zeros(len(truths.image), bool) if truths.difficult is None else np.asarray(truths.difficult, bool)
    for row, category in enumerate(categories):
        if np.any((np.asarray(truths.category) == category) & ~difficult):
            table[row] = [
                100 * rule(voc_curve(truths, detections, category=category, overlap=overlap / 100))
                for overlap in _OVERLAPS
            ]
    measured = table[~np.isnan(table[:, 0])]
    means = measured.mean(axis=0) if len(measured) else np.full(len(_OVERLAPS), np.nan)
    ap50, ap75 = (float(means[_OVERLAPS.index(percent)]) for percent in (50, 75))
    return VOCScores(float(means.mean()), ap50, ap75, tuple(float(value) for value in table[:, _OVERLAPS.index(50)]))


def _overlaps(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Returns the intersection over union of a box [4] and boxes [n, 4] as the devkit takes it, float64 [n]."""
    shared = np.maximum(np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2]), 0.0).prod(axis=1)
    union = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
