import logging

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from barlowtf.config.protocols import Logistic
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
    kernel, bias, penalty = fit_logistic(x, labels, classes, Logistic(penalties=(0.3,)))
    assert (kernel.shape, bias.shape, penalty) == ((6, classes), (classes,), 0.3)
    mean, deviation = x.mean(0), x.std(0)
    model = LogisticRegression(C=0.3, max_iter=500).fit((x - mean) / deviation, labels)
    logits = x.astype(np.float64) @ kernel + bias
    p = np.exp(logits - logits.max(1, keepdims=True))
    # scikit-learn stops at a gradient of 1e-4; float32 features.
    np.testing.assert_allclose(p / p.sum(1, keepdims=True), model.predict_proba((x - mean) / deviation), atol=5e-3)


def test_penalty_is_chosen_on_held_out_images():
    r = np.random.default_rng(1)
    # Many features of noise and few images: only a strong penalty helps.
    x = r.standard_normal((200, 150)).astype(np.float32)
    labels = (x[:, 0] + 0.5 * r.standard_normal(200) > 0).astype(int)
    _, _, penalty = fit_logistic(x, labels, 2, Logistic(penalties=(100.0, 0.001), held_out=0.3))
    assert penalty == 0.001


def test_too_few_images_to_hold_out(caplog):
    x, labels = _clusters(4, 4, 0)
    with caplog.at_level(logging.INFO, "barlowtf"):
        assert fit_logistic(x, labels, 4, Logistic())[2] == 0.01
    assert "Too few images" in caplog.text


def test_a_class_without_images():
    x, labels = _clusters(8, 2, 0)
    with pytest.raises(ValueError, match="2 classes. Expected as many of both, and 3"):
        fit_logistic(x, labels, 3, Logistic())
