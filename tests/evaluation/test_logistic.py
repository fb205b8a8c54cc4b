import logging

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from barlowtf.data import permutation
from barlowtf.evaluation import fit_logistic


def _clusters(count, classes, seed, spread=2.0):
    r = np.random.default_rng(seed)
    centers = np.random.default_rng(9).standard_normal((classes, 6))
    labels = np.arange(count) % classes
    # Scales and offsets that differ from feature to feature: standardizing must be undone in the kernel.
    x = centers[labels] + spread * r.standard_normal((count, 6))
    return (x * [1, 10, 0.1, 1, 5, 1] + [0, 100, 3, 0, -7, 0]).astype(np.float32), labels


@pytest.mark.parametrize("classes", [2, 4])
def test_kernel_and_bias_are_those_of_raw_features(classes):
    x, labels = _clusters(600, classes, 0)
    kernel, bias, penalty = fit_logistic(x, labels, class_count=classes, penalties=(0.3,))
    assert (kernel.shape, bias.shape, penalty) == ((6, classes), (classes,), 0.3)
    mean, deviation = x.mean(0), x.std(0)
    model = LogisticRegression(C=0.3, max_iter=500).fit((x - mean) / deviation, labels)
    logits = x.astype(np.float64) @ kernel + bias
    p = np.exp(logits - logits.max(1, keepdims=True))
    # scikit-learn stops at a gradient of 1e-4; float32 features.
    np.testing.assert_allclose(p / p.sum(1, keepdims=True), model.predict_proba((x - mean) / deviation), atol=5e-3)


def test_penalty_is_the_best_on_the_held_out_images():
    r = np.random.default_rng(1)
    # Many features, few images and a noisy class: which penalty does better depends on the images held out.
    x = r.standard_normal((400, 150)).astype(np.float32)
    labels = (x[:, :20].sum(axis=1) / 20**0.5 + r.standard_normal(400) > 0).astype(int)
    standardized = (x - x.mean(axis=0)) / x.std(axis=0)
    chosen = []
    for seed in range(4):
        order = permutation(400, seed=seed)
        assert sorted(order) == list(range(400))
        held, kept = order[:120], order[120:]
        models = [LogisticRegression(C=penalty, max_iter=200) for penalty in (0.001, 100.0)]
        scores = [
            model.fit(standardized[kept], labels[kept]).score(standardized[held], labels[held]) for model in models
        ]
        options = {"class_count": 2, "penalties": (100.0, 0.001), "held_out": 0.3, "seed": seed}
        chosen.append(fit_logistic(x, labels, **options)[2])
        assert chosen[-1] == (0.001 if scores[0] >= scores[1] else 100.0)
    assert set(chosen) == {0.001, 100.0}


def test_fits_that_stop_early_are_told_once(caplog):
    x, labels = _clusters(200, 4, 0)
    with caplog.at_level(logging.INFO, "barlowtf"):
        fit_logistic(x, labels, class_count=4, max_iterations=1)
    assert [record.getMessage() for record in caplog.records] == [
        "The classifier stopped after 1 iterations, before it converged. Its accuracy may be some tenths of a point "
        "off: compare with --set max_iterations=10."
    ]


def test_candidates_that_stop_early_are_told_apart_from_the_classifier(caplog):
    r = np.random.default_rng(1)
    x = r.standard_normal((400, 150)).astype(np.float32)
    labels = (x[:, 0] + r.standard_normal(400) > 0).astype(int)
    with caplog.at_level(logging.INFO, "barlowtf"):
        _, _, penalty = fit_logistic(x, labels, class_count=2, penalties=(1e-3, 1e6), held_out=0.3, max_iterations=10)
    assert penalty == 1e-3
    assert [record.getMessage() for record in caplog.records] == [
        "1 of the classifiers that were compared to choose C stopped after 10 iterations. The chosen one converged, so "
        "this hardly matters."
    ]


def test_too_few_images_to_hold_out(caplog):
    x, labels = _clusters(4, 4, 0)
    with caplog.at_level(logging.INFO, "barlowtf"):
        assert fit_logistic(x, labels, class_count=4)[2] == 0.01
    assert "Too few images" in caplog.text


def test_a_class_without_images():
    x, labels = _clusters(8, 2, 0)
    with pytest.raises(ValueError, match="received 8 of 2 classes for 8 features, .* of 3 classes"):
        fit_logistic(x, labels, class_count=3)
