import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, top_k_accuracy_score

from barlowtf.metrics import classification_scores


def test_scores_by_hand():
    scores = np.array([[0.1, 0.9, 0.0], [0.8, 0.1, 0.1], [0.2, 0.3, 0.5], [0.5, 0.5, 0.0]])
    measured = classification_scores(scores, np.array([1, 0, 0, 1]))
    # The last one is a tie, which the smaller class number wins.
    assert measured.top1 == 0.5
    assert measured.top5 is None
    assert measured.confusion.tolist() == [[1, 0, 1], [1, 1, 0], [0, 0, 0]]
    assert measured.per_class[:2].tolist() == [0.5, 0.5]
    assert np.isnan(measured.per_class[2])


def test_scores_equal_scikit_learn():
    r = np.random.default_rng(0)
    scores, labels = r.standard_normal((500, 9)), r.integers(0, 9, 500)
    measured = classification_scores(scores, labels)
    assert measured.top1 == pytest.approx(top_k_accuracy_score(labels, scores, k=1))
    assert measured.top5 == pytest.approx(top_k_accuracy_score(labels, scores, k=5))
    np.testing.assert_array_equal(measured.confusion, confusion_matrix(labels, scores.argmax(1)))


def test_five_of_equal_scores_are_the_first_five():
    labels = np.arange(8)
    assert classification_scores(np.zeros((8, 8)), labels).top5 == 5 / 8
    # Two of the classes alone among the labels, and ties within the scores.
    scores = np.array([[0, 1, 1, 1, 1, 1, 1.0], [0, 1, 1, 1, 1, 1, 1.0]])
    assert classification_scores(scores, np.array([5, 6])).top5 == 1 / 2


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        (np.zeros((3, 1)), np.zeros(3, int), "K >= 2"),
        (np.zeros((3, 2)), np.zeros(2, int), r"labels \(2,\)"),
        (np.zeros((3, 2)), np.array([0, 1, 2]), "received 0 to 2"),
        (np.array([[np.nan, 0.0]]), np.array([0]), "NaN"),
        (np.array([[np.inf, 0.0]]), np.array([0]), "infinity"),
    ],
)
def test_bad_input(scores, labels, message):
    with pytest.raises(ValueError, match=message):
        classification_scores(scores, labels)
