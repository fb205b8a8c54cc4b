import numpy as np
import pytest

from barlowtf.metrics import linear_probe_accuracy


def two_classes(count, seed):
    r = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    # The classes differ along one direction of small deviation, beside one of large.
    return np.stack(
        [0.01 * (2 * labels - 1) + 0.001 * r.standard_normal(count), 9 * r.standard_normal(count)], 1
    ), labels


def test_a_line_between_the_classes_is_found_whatever_the_scales():
    assert linear_probe_accuracy(*two_classes(60, 0), *two_classes(40, 1)) == 1.0


def test_features_without_the_class_give_chance():
    r = np.random.default_rng(0)
    features, labels = r.standard_normal((400, 3)), r.integers(0, 4, 400)
    # 4 classes: 0.25, and 4 deviations of 200 draws.
    assert linear_probe_accuracy(features[:200], labels[:200], features[200:], labels[200:]) < 0.25 + 0.13


def test_unknown_classes_are_wrong_and_one_class_is_always_named():
    bank, labels = two_classes(20, 0)
    assert linear_probe_accuracy(bank, labels, bank, labels + 2) == 0.0
    assert linear_probe_accuracy(bank, np.ones(20, int), bank, labels) == 0.5


def test_wrong_shapes_are_errors():
    bank, labels = two_classes(20, 0)
    with pytest.raises(ValueError, match="received 19 for a bank of 20"):
        linear_probe_accuracy(bank, labels[1:], bank, labels)
