import numpy as np
import pytest
import tensorflow as tf
from sklearn.neighbors import KNeighborsClassifier

from barlowtf.metrics import knn_accuracy, knn_predict


def labeled_features(examples, seed, classes=5, width=12):
    """Overlapping clusters, so that votes are divided."""
    random = np.random.default_rng(seed)
    centers = np.random.default_rng(99).standard_normal((classes, width))
    labels = random.integers(0, classes, examples)
    return (centers[labels] + 1.5 * random.standard_normal((examples, width))).astype("f4"), labels


def oracle(bank, labels, queries, neighbors, temperature, class_count):
    unit = [x.astype("f8") / np.linalg.norm(x.astype("f8"), axis=1, keepdims=True) for x in (bank, queries)]
    predicted = []
    for row in unit[1] @ unit[0].T:
        votes = np.zeros(class_count)
        for i in np.argsort(-row, kind="stable")[:neighbors]:
            votes[labels[i]] += np.exp(row[i] / temperature)
        predicted.append(votes.argmax())
    return np.array(predicted)


@pytest.mark.parametrize("block", [7, 64, 4096])
@pytest.mark.parametrize(("neighbors", "temperature"), [(1, 0.07), (20, 0.07), (20, 0.5), (150, 0.1)])
def test_equals_the_oracle(neighbors, temperature, block):
    (bank, labels), (queries, _) = labeled_features(150, 1), labeled_features(83, 2)
    expected = oracle(bank, labels, queries, neighbors, temperature, 5)
    predicted = knn_predict(
        bank, labels, queries, neighbors=neighbors, temperature=temperature, class_count=5, block=block
    )
    assert predicted.dtype == np.int64
    np.testing.assert_array_equal(predicted, expected)


def test_equals_scikit_learn():
    (bank, labels), (queries, _) = labeled_features(150, 3), labeled_features(60, 4)
    peer = KNeighborsClassifier(10, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / 0.07))
    expected = peer.fit(bank.astype("f8"), labels).predict(queries.astype("f8"))
    predicted = knn_predict(tf.constant(bank), labels, tf.constant(queries), neighbors=10, class_count=5)
    np.testing.assert_array_equal(predicted, expected)


def test_accuracy_is_the_share_of_right_answers():
    (bank, labels), (queries, truth) = labeled_features(150, 5), labeled_features(80, 6)
    predicted = knn_predict(bank, labels, queries, neighbors=5, class_count=5)
    accuracy = knn_accuracy(bank, labels, queries, truth, neighbors=5, class_count=5)
    assert accuracy == np.mean(predicted == truth)
    assert 0.2 < accuracy < 1.0
    assert knn_accuracy(bank, labels, bank, labels, neighbors=1, class_count=5) == 1.0


@pytest.mark.parametrize("block", [1, 2, 4096])
def test_ties_go_to_the_earlier_feature_and_the_smaller_class(block):
    bank, query = np.array([[1.0, 0.0], [1.0, 0.0], [2.0, 0.0]], np.float32), np.array([[5.0, 0.0]], np.float32)
    assert knn_predict(bank, [2, 1, 0], query, neighbors=1, class_count=3, block=block) == [2]
    assert knn_predict(bank, [2, 1, 1], query, neighbors=2, class_count=3, block=block) == [1]


@pytest.mark.parametrize("block", [30, 64, 4096])
def test_many_ties_keep_the_order_of_the_bank(block):
    # Three directions, so that hundreds of features tie. Which of the equal ones vote decides the class.
    random = np.random.default_rng(11)
    bank = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)[random.integers(0, 3, 600)]
    labels = np.arange(600)
    query = np.array([[2.0, 0.0]], np.float32)
    for neighbors in (1, 50, 150):
        # One class a feature: equal sums, and of these the smallest class is the earliest feature.
        predicted = knn_predict(bank, labels[::-1], query, neighbors=neighbors, class_count=600, block=block)
        # With the classes reversed it is the last of those that vote: the neighbors-th of its direction.
        assert predicted == [599 - np.flatnonzero(bank[:, 0] == 1)[neighbors - 1]]


def test_length_does_not_matter_and_zeros_are_allowed():
    (bank, labels), (queries, _) = labeled_features(50, 7), labeled_features(20, 8)
    expected = knn_predict(bank, labels, queries, neighbors=5, class_count=5)
    # Powers of two: exactly the same directions; 2^80 squared leaves float32's range.
    scaled = knn_predict(bank * np.float32(2.0**80), labels, queries * np.float32(2.0**-80), neighbors=5, class_count=5)
    np.testing.assert_array_equal(scaled, expected)
    assert knn_predict(np.zeros((3, 2), "f4"), [1, 1, 0], np.zeros((1, 2), "f4"), neighbors=3, class_count=2) == [1]


def test_small_temperatures_do_not_overflow():
    (bank, labels), (queries, _) = labeled_features(50, 9), labeled_features(20, 10)
    nearest = knn_predict(bank, labels, queries, neighbors=1, class_count=5)
    cold = knn_predict(bank, labels, queries, neighbors=10, temperature=1e-6, class_count=5)
    np.testing.assert_array_equal(cold, nearest)


@pytest.mark.parametrize(
    "change",
    [
        {"bank": np.zeros((4, 3))},
        {"bank_labels": np.zeros(3, int)},
        {"bank_labels": np.zeros(4)},
        {"bank_labels": np.array([0, 1, 2, 0])},
        {"bank_labels": np.array([0, 1, -1, 0])},
        {"queries": np.zeros(2)},
        {"neighbors": 0},
        {"neighbors": 5},
        {"temperature": 0.0},
        {"block": 0},
    ],
)
def test_wrong_arguments_are_errors(change):
    arguments = {
        "bank": np.zeros((4, 2)),
        "bank_labels": np.array([0, 1, 0, 1]),
        "queries": np.zeros((1, 2)),
        "neighbors": 2,
        "class_count": 2,
    } | change
    with pytest.raises(ValueError, match="Received .* Expected"):
        knn_predict(**arguments)


def test_labels_of_queries_must_fit():
    with pytest.raises(ValueError, match="Received .* Expected"):
        knn_accuracy(np.ones((2, 2)), [0, 1], np.ones((2, 2)), [0], neighbors=1, class_count=2)
