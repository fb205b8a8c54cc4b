import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from barlowtf.metrics import average_precision, interpolated_average_precision, voc07_average_precision

ALL = [average_precision, interpolated_average_precision, voc07_average_precision]


@pytest.mark.parametrize("levels", [2, 7, 50, None])
def test_equals_scikit_learn_with_and_without_ties(levels):
    random = np.random.default_rng(3)
    for size in (1, 2, 5, 40, 300):
        scores = random.standard_normal(size) if levels is None else random.integers(0, levels, size) - 1.0
        positives = random.random(size) < 0.3
        positives[random.integers(size)] = True
        expected = average_precision_score(positives, scores)
        assert average_precision(scores, positives) == pytest.approx(expected, rel=1e-12)  # sums of float64


def test_by_hand():
    """Positives at ranks 1, 3, 4 and 8 of 8: precisions 1, 2/3, 3/4 and 1/2 at recalls 1/4, 1/2, 3/4 and 1."""
    scores, positives = np.arange(8, 0, -1), [1, 0, 1, 1, 0, 0, 0, 1]
    assert average_precision(scores, positives) == pytest.approx((1 + 2 / 3 + 3 / 4 + 1 / 2) / 4)
    # 2/3 at recall 1/2 gives way to the 3/4 beyond it.
    assert interpolated_average_precision(scores, positives) == pytest.approx((1 + 3 / 4 + 3 / 4 + 1 / 2) / 4)
    # Recalls 0, .1, .2 see 1; .3 to .7 (five) see 3/4; .8, .9 and 1 see 1/2.
    assert voc07_average_precision(scores, positives) == pytest.approx((3 * 1 + 5 * 3 / 4 + 3 * 1 / 2) / 11)


def test_a_recall_of_three_tenths_is_reached_by_three_of_ten():
    """Positives at ranks 1 to 3, then nothing, then the other seven: 0, .1, .2 and .3 see precision 1."""
    positives = np.zeros(1010, int)
    positives[[0, 1, 2, *range(1003, 1010)]] = 1
    expected = (4 * 1 + 7 * 10 / 1010) / 11
    assert voc07_average_precision(-np.arange(1010), positives) == pytest.approx(expected)


def voc_devkit(scores, positives):
    """VOCevalcls.m line by line, for scores without ties and a number of positives that 10 does not divide."""
    order = np.argsort(-scores)
    found, others = np.cumsum(positives[order]), np.cumsum(~positives[order])
    recall, precision = found / positives.sum(), found / (found + others)
    return sum(max(precision[recall >= threshold], default=0) / 11 for threshold in np.linspace(0, 1, 11))


def test_equals_the_devkit():
    random = np.random.default_rng(4)
    for count in (1, 3, 17, 41):
        scores = random.permutation(200) / 7.0
        positives = np.zeros(200, bool)
        positives[random.choice(200, count, replace=False)] = True
        assert voc07_average_precision(scores, positives) == pytest.approx(voc_devkit(scores, positives), rel=1e-12)


@pytest.mark.parametrize("measure", ALL)
def test_properties(measure):
    random = np.random.default_rng(5)
    scores, positives = random.integers(0, 9, 60) / 4, random.random(60) < 0.4
    value = measure(scores, positives)
    order = random.permutation(60)
    assert measure(scores[order], positives[order]) == value
    assert measure(3 * scores + 1, positives.astype(np.int8)) == value
    assert measure(positives * 2.0 - 1, positives) == 1.0
    # One threshold only: the share of positives, exactly what a guess earns.
    assert measure(np.ones(60), positives) == pytest.approx(positives.mean())
    assert interpolated_average_precision(scores, positives) > average_precision(scores, positives)


@pytest.mark.parametrize("measure", ALL)
@pytest.mark.parametrize(
    ("scores", "positives", "message"),
    [
        ([1.0, 2.0], [0, 0], "needs a positive"),
        ([], [], "needs a positive"),
        ([1.0, 2.0], [1], r"Received shapes \(2,\) and \(1,\)"),
        ([[1.0]], [[1]], "Expected .M. both"),
        ([1.0, np.nan], [0, 1], "not finite"),
        ([1.0, 2.0], [-1, 1], "Expected 0 or 1"),
    ],
)
def test_wrong_arguments(measure, scores, positives, message):
    with pytest.raises(ValueError, match=message):
        measure(scores, positives)
