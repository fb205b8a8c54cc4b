"""What every protocol of classes that exclude each other reports."""

from typing import Any

import numpy as np

from barlowtf.evaluation.contract import Outcome
from barlowtf.metrics import classification_scores
from barlowtf.records import Measure

TOP1 = Measure(name="top1", title="top-1", headline=True)
TOP5 = Measure(name="top5", title="top-5")


def classification_outcome(scores: np.ndarray, labels: np.ndarray, **details: Any) -> Outcome:
    """Returns the outcome of scores for classes that exclude each other; it has the measures `TOP1` and `TOP5`.

    Args:
        scores: Higher for a likelier class, float [Q, K].
        labels: True classes, integers [Q].
        **details: Of the outcome.
    """
    measured = classification_scores(scores, labels)
    values = {"top1": measured.top1}
    if measured.top5 is not None:
        values["top5"] = measured.top5
    per_class = [None if np.isnan(value) else float(value) for value in measured.per_class]
    return Outcome(values, per_class, measured.confusion.tolist(), details)
