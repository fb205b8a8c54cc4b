"""Average precision of one class's scores, in the three definitions that papers use. NumPy only.

scikit-learn has the first definition alone, and adds up steps of a rounded recall: a perfect order is then 1 - 1e-16,
and of two costs that rank alike rounding would choose one. Here the steps are integers.

Letters: images sorted by score, highest first; after the n-th distinct score, tp_n positives and fp_n others lie at or
above it, P_n = tp_n / (tp_n + fp_n) is the precision and R_n = tp_n / tp_last the recall. Images of equal score count
together, because no threshold separates them: their order in the data set does not change a result.
"""

from typing import Any, NamedTuple

import numpy as np


class _Curve(NamedTuple):
    found: np.ndarray  # int64 [n], tp
    precision: np.ndarray  # float64 [n], P


def average_precision(scores: Any, positives: Any) -> float:
    """Area under precision over recall without interpolation: the sum of (R_n - R_{n-1}) P_n.

    Args:
        scores: Higher means more likely positive; float [M], finite.
        positives: Which images show the class; bool or integer 0 or 1, [M].

    Returns:
        In (0, 1].

    Raises:
        ValueError: Shapes or values do not fit, or there is no positive.

    Source: scikit-learn, metrics.average_precision_score, which it equals.
    """
    curve = _curve(scores, positives)
    return _area(curve, curve.precision)


def interpolated_average_precision(scores: Any, positives: Any) -> float:
    """Area under the interpolated curve: the sum of (R_n - R_{n-1}) times the best P_m of any m >= n.

    Args:
        scores: Higher means more likely positive; float [M], finite.
        positives: Which images show the class; bool or integer 0 or 1, [M].

    Returns:
        In (0, 1], never below `average_precision`.

    Raises:
        ValueError: Shapes or values do not fit, or there is no positive.

    Source: facebookresearch/vissl svm_utils/evaluate.py, calculate_ap (the VOC devkit's definition since 2010), by
    which the VOC07 mAP of self-supervised encoders is published.
    """
    curve = _curve(scores, positives)
    best = np.maximum.accumulate(curve.precision[::-1])[::-1]
    return _area(curve, best)


def voc07_average_precision(scores: Any, positives: Any) -> float:
    """Mean over the recalls 0, 0.1, ... 1 of the best precision at that recall or beyond.

    Args:
        scores: Higher means more likely positive; float [M], finite.
        positives: Which images show the class; bool or integer 0 or 1, [M].

    Returns:
        In (0, 1].

    Raises:
        ValueError: Shapes or values do not fit, or there is no positive.

    Source: VOC 2007 devkit, VOCevalcls.m. Differs in comparing recalls as integers, because 3 of 10 is a recall of 0.3
    whatever the rounding of 0.1, and in counting equal scores together.
    """
    curve = _curve(scores, positives)
    best = np.maximum.accumulate(curve.precision[::-1])[::-1]
    # The first n with tp_n / tp_last >= tenth / 10; there always is one, as the last recall is 1.
    reached = [int(np.argmax(10 * curve.found >= tenth * curve.found[-1])) for tenth in range(11)]
    return float(best[reached].mean())


def _curve(scores: Any, positives: Any) -> _Curve:
    """Returns the curve, one point a distinct score, from the highest down."""
    scores, positives = np.asarray(scores, np.float64), np.asarray(positives)
    if scores.ndim != 1 or positives.shape != scores.shape:
        raise ValueError(
            f"scores and positives do not fit. Received shapes {scores.shape} and {positives.shape}. Expected [M] both."
        )
    if not np.all(np.isfinite(scores)):
        raise ValueError("scores are not finite. Received NaN or infinity. Expected numbers that can be sorted.")
    if not np.all((positives == 0) | (positives == 1)):
        raise ValueError(f"positives do not fit. Received values {np.unique(positives)[:5]}. Expected 0 or 1.")
    if not positives.any():
        raise ValueError("Average precision needs a positive. Received none. Expected at least one.")
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    found = np.cumsum(positives[order], dtype=np.int64)[ends]
    return _Curve(found, found / (ends + 1))


def _area(curve: _Curve, heights: np.ndarray) -> float:
    """Returns the sum of heights times the steps in recall; steps as integers keep a perfect order exactly 1."""
    return float(np.sum(np.diff(curve.found, prepend=0) * heights) / curve.found[-1])
