"""First values of variables and inputs, drawn by rule, so that hundreds of megabytes need not travel.

A rule is a dict with one key:

    {"constant": c}          every entry is c
    {"normal": [mean, std]}  normal distribution
    {"uniform": [low, high]} uniform distribution on [low, high)
    {"integers": [low, high]} whole numbers in [low, high)
    {"values": [...]}        the entries themselves, in row-major order

The numbers come from the raw words of NumPy's Philox generator, whose stream is the same in every version; NumPy's
own distributions are not. Both halves of the benchmark draw with this file, so both start from the same numbers.
"""

from typing import Any

import numpy as np

# Words drawn at once: keeps the temporary arrays of an [8192, 8192] weight small.
_CHUNK = 2**22


def draw(entry: dict[str, Any], stream: int) -> np.ndarray:
    """Returns the first value of a variable or an input.

    Args:
        entry: Has "shape", "dtype" (a NumPy name) and "rule".
        stream: Which of the independent sequences of random words, >= 0; one for each variable.

    Raises:
        ValueError: The rule is unknown.
    """
    shape, dtype = tuple(entry["shape"]), np.dtype(entry["dtype"])
    ((kind, value),) = entry["rule"].items()
    count = int(np.prod(shape))
    if kind == "constant":
        return np.full(shape, value, dtype)
    if kind == "values":
        return np.array(value, dtype).reshape(shape)
    if kind not in _KINDS:
        raise ValueError(f"Invalid rule: received {kind!r}, expected constant, values or one of {', '.join(_KINDS)}.")
    result = np.empty(count, dtype)
    generator = np.random.Philox(key=stream)
    for start in range(0, count, _CHUNK):
        some = result[start : start + _CHUNK]
        some[:] = _KINDS[kind](generator.random_raw(len(some)), *value)
    return result.reshape(shape)


def _uniform(words: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.float32(low) + np.float32(high - low) * _fractions(words)


def _normal(words: np.ndarray, mean: float, std: float) -> np.ndarray:
    """Box and Muller's way: a radius from the upper half of each word, an angle from the lower."""
    radius = np.sqrt(-2.0 * np.log1p(-_fractions(words)))
    angle = np.float32(2.0 * np.pi) * _fractions(words << np.uint64(32))
    return np.float32(mean) + np.float32(std) * radius * np.cos(angle)


def _integers(words: np.ndarray, low: int, high: int) -> np.ndarray:
    return low + (words % np.uint64(high - low)).astype(np.int64)


def _fractions(words: np.ndarray) -> np.ndarray:
    """Returns the upper 24 bits of each word as float32 in [0, 1)."""
    return (words >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)


_KINDS = {"uniform": _uniform, "normal": _normal, "integers": _integers}
