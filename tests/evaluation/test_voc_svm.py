"""Known answers: colors that are separable by construction, and scikit-learn's own cross-validation on noise."""

import warnings

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC

from barlowtf.data import open_multi_label
from barlowtf.errors import DataError
from barlowtf.evaluation import voc_svm
from barlowtf.evaluation.voc_svm import evaluate_voc_svm
from barlowtf.metrics import voc07_average_precision

COLORS = ("blue", "green", "red")
# Which of the colors an image shows.
SUBSETS = [(0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)]


@pytest.fixture(scope="module")
def colors(tmp_path_factory):
    """A VOC folder of 24 + 12 images in which a class is a color.

    One image of each split is called difficult for green though it shows it: a test that counted it as a negative
    would find it among the first.
    """
    folder = tmp_path_factory.mktemp("colors") / "VOC2007"
    (folder / "JPEGImages").mkdir(parents=True)
    (folder / "ImageSets" / "Main").mkdir(parents=True)
    for part, first, count in (("trainval", 0, 24), ("test", 100, 12)):
        lines = {color: "" for color in COLORS}
        for number in range(first, first + count):
            subset = SUBSETS[number % 6]
            pixels = np.zeros((8, 8, 3), np.uint8) + np.array(subset[::-1], np.uint8) * (255 - number % 7)
            Image.fromarray(pixels).save(folder / "JPEGImages" / f"{number:06d}.jpg", quality=95)
            for color, shown in zip(COLORS, subset, strict=True):
                difficult = color == "green" and part == "test" and number == first + 3
                lines[color] += f"{number:06d} {0 if difficult else 1 if shown else -1:2d}\n"
        for color, text in lines.items():
            (folder / "ImageSets" / "Main" / f"{color}_{part}.txt").write_text(text)
    return folder


def mean_colors(images):
    paths = [images.source.identify(index) for index in range(images.source.size)]
    return np.array([np.asarray(Image.open(path)).mean(axis=(0, 1)) for path in paths])


def test_separable_classes_are_found_exactly(colors):
    train, test = (open_multi_label(str(colors), split) for split in ("train", "test"))
    assert test.targets[3, 1] == 0
    x, test_x = mean_colors(train), mean_colors(test)
    result = evaluate_voc_svm(x, train.targets, test_x, test.targets)
    np.testing.assert_array_equal(result.average_precision, [1, 1, 1])
    np.testing.assert_array_equal(result.voc07_average_precision, [1, 1, 1])
    np.testing.assert_array_equal(result.interpolated_average_precision, [1, 1, 1])
    # With every cost perfect the smallest is taken.
    np.testing.assert_array_equal(result.cost, [0.01, 0.01, 0.01])
    # The difficult image is what the test leaves out: called absent, it stands among the first and costs precision.
    counted = np.where(test.targets == 0, -1, test.targets)
    assert evaluate_voc_svm(x, train.targets, test_x, counted).average_precision[1] < 1


@pytest.fixture(scope="module")
def noise():
    random = np.random.default_rng(0)
    y, test_y = (random.choice([-1, 0, 1], (size, 2), p=[0.6, 0.1, 0.3]) for size in (70, 50))
    x, test_x = (random.standard_normal((len(part), 6)) * 5 + (part == 1) @ np.ones((2, 6)) for part in (y, test_y))
    x[3] = 0
    return x, y, test_x, test_y


COSTS = (0.1, 1.0, 1000.0)


@pytest.fixture(scope="module")
def result(noise):
    return evaluate_voc_svm(*noise, costs=COSTS, seed=4)


def test_equals_scikit_learns_own_cross_validation(noise, result):
    x, y, test_x, test_y = noise
    x, test_x = normalize(x), normalize(test_x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for index in range(2):
            machines = [
                LinearSVC(C=cost, dual=True, max_iter=2000, class_weight={1: 2, -1: 1}, random_state=4)
                for cost in COSTS
            ]
            signs = np.where(y[:, index] > 0, 1, -1)
            means = [
                cross_val_score(machine, x, signs, cv=3, scoring="average_precision").mean() for machine in machines
            ]
            best = int(np.argmax(means))
            assert result.cost[index] == COSTS[best]
            scores = machines[best].fit(x, signs).decision_function(test_x)
            keep = test_y[:, index] != 0
            truth = test_y[keep, index] == 1
            expected = average_precision_score(truth, scores[keep])
            # The same solver on features that another order of operations made: float64 rounding.
            assert result.average_precision[index] == pytest.approx(expected, rel=1e-6)
            expected = voc07_average_precision(scores[keep], truth)
            assert result.voc07_average_precision[index] == pytest.approx(expected, rel=1e-6)
            assert 0.2 < result.average_precision[index] < 0.95  # neither chance nor trivial


def test_fits_without_convergence_are_counted_and_told_once(noise, monkeypatch, caplog):
    monkeypatch.setattr(voc_svm, "_MAX_ITERATIONS", 2)
    with caplog.at_level("INFO", "barlowtf"):
        result = evaluate_voc_svm(*noise, costs=(1.0, 1000.0))
    np.testing.assert_array_equal(result.unconverged, [7, 7])
    assert [record.getMessage()[:19] for record in caplog.records] == ["14 of 14 machines m"]


def test_an_interrupted_evaluation_goes_on(noise, result):
    results = {}

    class Stop(Exception):
        pass

    def stop(index, one):
        results[index] = one
        raise Stop

    with pytest.raises(Stop):
        evaluate_voc_svm(*noise, costs=COSTS, seed=4, on_class=stop)
    assert list(results) == [0]
    order = []
    resumed = evaluate_voc_svm(
        *noise, costs=COSTS, seed=4, done=results, on_class=lambda index, one: order.append(index)
    )
    assert order == [1]
    np.testing.assert_array_equal(resumed.average_precision, result.average_precision)
    np.testing.assert_array_equal(resumed.cost, result.cost)
    assert resumed.average_precision[0] == results[0].average_precision


def test_the_length_of_a_feature_does_not_matter(noise, result):
    x, y, test_x, test_y = noise
    again = evaluate_voc_svm(8 * x, y, 0.25 * test_x, test_y, costs=COSTS, seed=4)
    np.testing.assert_array_equal(again.average_precision, result.average_precision)


def targets(*columns):
    return np.array(columns, np.int8).T


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({1: targets([1, 1, 0, -1, -1, -1])}, DataError, "Class 0 has 2 positives among 6 .* at least 3 positives"),
        ({1: targets([1, 1, 1, -1, -1, -1], [1, 1, 1, 1, -1, -1])}, DataError, "Class 1 has 4 positives .* 3 others"),
        ({3: targets([0, -1])}, DataError, "Class 0 has no positive among 2 test images"),
        ({2: np.full((2, 2), np.nan)}, DataError, "test features are not finite in 2 of 2"),
        ({1: targets([1, 1, 1, 2, -1, -1])}, ValueError, "Expected -1, 0 and 1"),
        ({0: np.ones((5, 2))}, ValueError, "train does not fit"),
        ({2: np.ones((2, 3))}, ValueError, "Expected one d and one K"),
    ],
)
def test_what_cannot_be_evaluated(changes, error, message):
    arguments = [np.eye(6, 2), targets([1, 1, 1, -1, -1, -1]), np.eye(2), targets([1, -1])]
    for position, value in changes.items():
        arguments[position] = value
    if changes.get(1) is not None and changes[1].shape[1] == 2:
        arguments[3] = targets([1, -1], [1, -1])
    with pytest.raises(error, match=message):
        evaluate_voc_svm(*arguments)


@pytest.mark.parametrize("options", [{"folds": 1}, {"costs": ()}, {"costs": (0.0,)}])
def test_folds_and_costs_out_of_range(noise, options):
    with pytest.raises(ValueError, match="Expected 2 folds or more, costs > 0"):
        evaluate_voc_svm(*noise, **options)
