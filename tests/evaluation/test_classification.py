import numpy as np

from barlowtf.evaluation import classification_outcome


def test_outcome_of_scores():
    outcome = classification_outcome(np.eye(3), np.array([0, 1, 1]), epoch=2)
    assert outcome.per_class == [1.0, 0.5, None]
    assert outcome.confusion == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]
    assert outcome.details == {"epoch": 2}
    # Five of at most five classes are always right: no measure.
    assert outcome.scores == {"top1": 2 / 3}
    assert classification_outcome(np.eye(6), np.arange(6)).scores == {"top1": 1.0, "top5": 1.0}
