"""Models for tests whose every weight has a value of its own, so that no step of a normalization is the identity."""

import numpy as np


def randomized(model, seed=0, *, reach=0.1):
    """Draws all weights anew: gammas and variances from 0.5 to 1.5, the rest up to `reach` on both sides of 0."""
    r = np.random.default_rng(seed)
    for weight in model.weights:
        low, high = (0.5, 1.5) if weight.name in ("gamma", "moving_variance") else (-reach, reach)
        weight.assign(r.uniform(low, high, weight.shape))
    return model
