"""Accuracy of a linear classifier that is trained on features: a quick reading of an encoder by labels."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

# Inverse strength of the penalty, scikit-learn's C. The protocol linear-fast chooses it; a monitor need not.
_PENALTY = 0.1


def linear_probe_accuracy(
    bank: np.ndarray,
    bank_labels: np.ndarray,
    queries: np.ndarray,
    query_labels: np.ndarray,
    *,
    max_iterations: int = 100,
) -> float:
    """Share of queries that logistic regression, trained on the bank, classifies right.

    Features are standardized by mean and deviation of the bank. The optimizer is L-BFGS, from zero weights, so the
    result depends on nothing but the arguments.

    Args:
        bank: Features to train on, float [M, d].
        bank_labels: Their classes, integers [M].
        queries: Features to classify, float [Q, d], Q >= 1.
        query_labels: Their classes, integers [Q]; one that the bank lacks is never right.
        max_iterations: Where L-BFGS stops though it has not converged, >= 1.

    Returns:
        In [0, 1].

    Raises:
        ValueError: Shapes do not fit, or a feature is not finite.
    """
    bank_labels, query_labels = np.asarray(bank_labels), np.asarray(query_labels)
    if len(bank) != len(bank_labels) or len(queries) != len(query_labels) or not len(bank) or not len(queries):
        raise ValueError(
            f"Invalid labels: received {len(bank_labels)} for a bank of {len(bank)} and {len(query_labels)} for "
            f"{len(queries)} queries, expected as many of each, 1 or more."
        )
    classes = np.unique(bank_labels)
    if len(classes) == 1:
        return float(np.mean(query_labels == classes[0]))
    mean, deviation = bank.mean(axis=0), bank.std(axis=0)
    deviation = np.where(deviation > 1e-6, deviation, 1.0)
    model = LogisticRegression(C=_PENALTY, max_iter=max_iterations)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(((bank - mean) / deviation).astype(np.float32), bank_labels)
    predicted = model.predict(((queries - mean) / deviation).astype(np.float32))
    return float(np.mean(predicted == query_labels))
