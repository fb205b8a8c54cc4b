"""What a classifier got right: shares, classes, confusions."""

from typing import NamedTuple

import numpy as np
from sklearn.metrics import confusion_matrix, top_k_accuracy_score


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
        ValueError: Shapes or labels do not fit, or a score is not finite.
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.ndim != 2 or scores.shape[1] < 2 or labels.shape != scores.shape[:1] or not len(labels):
        raise ValueError(
            f"Invalid scores: received {scores.shape} with labels {labels.shape}, expected [Q, K >= 2] and [Q]."
        )
    count = scores.shape[1]
    if labels.min() < 0 or labels.max() >= count:
        raise ValueError(f"Invalid labels: received {labels.min()} to {labels.max()}, expected [0, {count}).")
    if not np.isfinite(scores).all():
        raise ValueError("Invalid scores: received NaN or infinity, expected finite numbers.")
    predicted = scores.argmax(axis=1)
    confusion = confusion_matrix(labels, predicted, labels=np.arange(count))
    sizes = confusion.sum(axis=1)
    per_class = np.full(count, np.nan)
    np.divide(confusion.diagonal(), sizes, out=per_class, where=sizes > 0)
    return ClassificationScores(float(np.mean(predicted == labels)), _top5(scores, labels), per_class, confusion)


def _top5(scores: np.ndarray, labels: np.ndarray) -> float | None:
    count = scores.shape[1]
    if count <= 5:
        return None
    # Of equal scores scikit-learn takes the largest class number: with the classes reversed, the smallest.
    top5: float = top_k_accuracy_score(count - 1 - labels, scores[:, ::-1], k=5, labels=np.arange(count))
    return top5
