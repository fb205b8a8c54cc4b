"""Draws of a part of a data set."""

import numpy as np


def spread_ids(size: int, count: int, seed: int) -> np.ndarray:
    """Returns the numbers of at most `count` examples, drawn without replacement; the same on every machine.

    Args:
        size: Number of examples in the data set, >= 1.
        count: How many to draw, >= 1; all of them where `count` >= `size`.
        seed: Seed of the draw, >= 0.

    Returns:
        int64 [min(count, size)], sorted.

    Raises:
        ValueError: An argument is out of range.
    """
    for argument, value, least in (("size", size, 1), ("count", count, 1), ("seed", seed, 0)):
        if value < least:
            raise ValueError(f"{argument} is too small. Received {value}. Expected at least {least}.")
    if count >= size:
        return np.arange(size, dtype=np.int64)
    # Philox is defined by integers alone and named here, so that a new NumPy default changes nothing.
    generator = np.random.Generator(np.random.Philox(seed))
    return np.sort(generator.choice(size, count, replace=False, shuffle=False).astype(np.int64))
