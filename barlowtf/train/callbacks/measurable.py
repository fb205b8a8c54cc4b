"""Monitors measure finite numbers alone: what else there is ends the run at its next step, with its cause."""

import logging

import numpy as np

_LOG = logging.getLogger("barlowtf")
# Sums of squares of larger numbers overflow in float32.
_LARGEST = 1e15


def are_measurable(*arrays: np.ndarray, measures: str) -> bool:
    """Returns whether all numbers are finite and not absurdly large; if not, the log says so.

    Args:
        *arrays: Features or embeddings of any shapes.
        measures: What is not measured then, for the log.
    """
    # A comparison with NaN is false.
    if all(bool((np.abs(array) <= _LARGEST).all()) for array in arrays):
        return True
    _LOG.warning("Features or embeddings are not finite, or beyond %g: no %s here.", _LARGEST, measures)
    return False
