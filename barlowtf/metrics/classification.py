"""What a classifier got right: shares, classes, confusions."""

from typing import NamedTuple

import numpy as np


class ClassificationScores(NamedTuple):
    """How well scores [Q, K] name the classes of Q images.

    Attributes:
        top1: Share of images whose class has the highest score, in [0, 1].
        top5: Share of images whose class is among the five highest; None where K <= 5.
        per_class: Share of each class' images whose class has the highest score; NaN for a class without images. [K]
        confusion: Number of images by true class (row) and predicted class (column), int64 [K, K].
    """

    top1: float
    top5: float | None
    per_class: np.ndarray
    confusion: np.ndarray


def classification_scores(scores: np.ndarray, labels: np.ndarray) -> ClassificationScores:
    """Returns accuracy, whole, by class and by pair of classes. Of equal scores the smaller class number comes first.

    Args:
        scores: Higher for a likelier class, float [Q, K], Q >= 1, K >= 2.
        labels: True classes, integers [Q] in [0, K).

    Raises:
        ValueError: Shapes or labels do not fit, or a score is NaN.
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.ndim != 2 or scores.shape[1] < 2 or labels.shape != scores.shape[:1] or not len(labels):
        raise ValueError(f"Received scores {scores.shape} and labels {labels.shape}. Expected [Q, K >= 2] and [Q].")
    count = scores.shape[1]
    if labels.min() < 0 or labels.max() >= count:
        raise ValueError(f"Received labels {labels.min()} to {labels.max()}. Expected [0, {count}).")
    if np.isnan(scores).any():
        raise ValueError("Received scores that are NaN. Expected numbers.")
    predicted = scores.argmax(axis=1)
    confusion = np.zeros((count, count), np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    sizes = confusion.sum(axis=1)
    per_class = np.full(count, np.nan)
    np.divide(confusion.diagonal(), sizes, out=per_class, where=sizes > 0)
    return ClassificationScores(float(np.mean(predicted == labels)), _top5(scores, labels), per_class, confusion)


def _top5(scores: np.ndarray, labels: np.ndarray) -> float | None:
    if scores.shape[1] <= 5:
        return None
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    # Before the own class come the higher scores, and the equal ones of smaller number.
    earlier = (scores == own) & (np.arange(scores.shape[1]) < labels[:, None])
    rank = np.sum((scores > own) | earlier, axis=1)
    return float(np.mean(rank < 5))
