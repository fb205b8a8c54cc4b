"""Multinomial logistic regression whose penalty is chosen on held-out examples. NumPy and scikit-learn."""

import logging
import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from barlowtf.data import permutation

_LOG = logging.getLogger("barlowtf")


def fit_logistic(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    class_count: int,
    penalties: Sequence[float] = (0.01, 0.1, 1.0, 10.0),
    held_out: float = 0.1,
    max_iterations: int = 200,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Returns kernel [d, K], bias [K] of the classifier of raw features, float32, and the penalty C that was chosen.

    The features are standardized by the mean and deviation of the training ones; kernel and bias take that in, so that
    logits = features @ kernel + bias. C is the one with the best accuracy on a held-out share of the training images,
    the smallest of equals; the classifier is then trained on all of them.

    Args:
        features: Of the training images, float [M, d].
        labels: Their classes, integers [M] in [0, class_count), each class at least once.
        class_count: Number of classes K, >= 2.
        penalties: Values of scikit-learn's C to try, > 0; small values regularize strongly.
        held_out: Share of the images held out to choose C, in (0, 1).
        max_iterations: Maximum number of L-BFGS iterations.
        seed: Seed of the held-out share, >= 0.

    Raises:
        ValueError: Shapes do not fit, or a class has no image.
    """
    labels = np.asarray(labels)
    if len(features) != len(labels) or len(np.unique(labels)) != class_count:
        raise ValueError(
            f"Invalid labels: received {len(labels)} of {len(np.unique(labels))} classes for {len(features)} features, "
            f"expected one per feature, of {class_count} classes."
        )
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    deviation = np.where(deviation > 1e-6, deviation, 1.0)
    x = ((features - mean) / deviation).astype(np.float32)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model = _fit(x, labels, sorted(penalties), held_out, max_iterations, seed)
    stopped = sum(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    if stopped:
        _LOG.info("%s", _explain_stops(stopped, max_iterations, final=max(model.n_iter_) >= max_iterations))
    # scikit-learn keeps one row for two classes.
    coefficients = model.coef_ if class_count > 2 else np.concatenate([-model.coef_, model.coef_]) / 2
    intercepts = model.intercept_ if class_count > 2 else np.concatenate([-model.intercept_, model.intercept_]) / 2
    kernel = coefficients.T / deviation[:, None]
    bias = intercepts - mean @ kernel
    return kernel.astype(np.float32), bias.astype(np.float32), float(model.C)


def _explain_stops(stopped: int, most: int, *, final: bool) -> str:
    """Returns what it means that fits were stopped before they converged."""
    if not final:
        return (
            f"{stopped} of the classifiers that were compared to choose C stopped after {most} iterations. The chosen "
            "one converged, so this hardly matters."
        )
    return (
        f"The classifier stopped after {most} iterations, before it converged. Its accuracy may be some tenths of a "
        f"point off: compare with --set max_iterations={10 * most}."
    )


def _fit(
    x: np.ndarray, labels: np.ndarray, penalties: list[float], held_out: float, max_iterations: int, seed: int
) -> LogisticRegression:
    model = LogisticRegression(C=penalties[0], max_iter=max_iterations)
    if len(penalties) == 1:
        return model.fit(x, labels)
    order = permutation(len(x), seed=seed)
    cut = round(held_out * len(x))
    held, kept = order[:cut], order[cut:]
    if not cut or len(np.unique(labels[kept])) < len(np.unique(labels)):
        _LOG.info("Too few images to hold some out: C = %g, the smallest one, is used.", penalties[0])
        return model.fit(x, labels)
    # Of equal scores scikit-learn takes the first.
    search = GridSearchCV(model, {"C": penalties}, cv=[(kept, held)], scoring="accuracy", error_score="raise")
    return search.fit(x, labels).best_estimator_
