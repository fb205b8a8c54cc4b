"""Protocol linear-fast: multinomial logistic regression on features that are extracted once."""

import logging
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from barlowtf.config.protocols import Logistic

_LOG = logging.getLogger("barlowtf")


def fit_logistic(
    features: np.ndarray, labels: np.ndarray, class_count: int, settings: Logistic, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, float]:
    """Returns kernel [d, K], bias [K] of the classifier of raw features, float32, and the penalty C that was chosen.

    The features are standardized by the mean and deviation of the training ones; kernel and bias take that in, so that
    logits = features @ kernel + bias. C is the one with the best accuracy on a held-out share of the training images;
    the classifier is then trained on all of them.

    Args:
        features: Of the training images, float [M, d].
        labels: Their classes, integers [M] in [0, class_count), each class at least once.
        class_count: K, >= 2.
        settings: Of the protocol.
        seed: Of the held-out share.

    Raises:
        ValueError: Shapes do not fit, or a class has no image.
    """
    labels = np.asarray(labels)
    if len(features) != len(labels) or len(np.unique(labels)) != class_count:
        raise ValueError(
            f"Received {len(features)} features and {len(labels)} labels of {len(np.unique(labels))} classes. "
            f"Expected as many of both, and {class_count} classes."
        )
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    deviation = np.where(deviation > 1e-6, deviation, 1.0)
    x = ((features - mean) / deviation).astype(np.float32)
    penalty = _choose(x, labels, settings, seed)
    model = _fit(x, labels, penalty, settings.max_iterations)
    # scikit-learn keeps one row for two classes.
    coefficients = model.coef_ if class_count > 2 else np.concatenate([-model.coef_, model.coef_]) / 2
    intercepts = model.intercept_ if class_count > 2 else np.concatenate([-model.intercept_, model.intercept_]) / 2
    kernel = coefficients.T / deviation[:, None]
    bias = intercepts - mean @ kernel
    return kernel.astype(np.float32), bias.astype(np.float32), penalty


def _choose(x: np.ndarray, labels: np.ndarray, settings: Logistic, seed: int) -> float:
    """Returns the penalty that does best on held-out images; the strongest of equals."""
    if len(settings.penalties) == 1:
        return settings.penalties[0]
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(x))
    cut = round(settings.held_out * len(x))
    held, kept = order[:cut], order[cut:]
    if not cut or len(np.unique(labels[kept])) < len(np.unique(labels)):
        _LOG.info("Too few images to hold some out: C = %g, the first one, is taken.", settings.penalties[0])
        return settings.penalties[0]
    accuracies = [
        _fit(x[kept], labels[kept], penalty, settings.max_iterations).score(x[held], labels[held])
        for penalty in sorted(settings.penalties)
    ]
    return sorted(settings.penalties)[int(np.argmax(accuracies))]


def _fit(x: np.ndarray, labels: np.ndarray, penalty: float, iterations: int) -> LogisticRegression:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model = LogisticRegression(C=penalty, max_iter=iterations).fit(x, labels)
    if any(issubclass(warning.category, ConvergenceWarning) for warning in caught):
        _LOG.info("Logistic regression with C = %g stopped after %d iterations.", penalty, iterations)
    return model
