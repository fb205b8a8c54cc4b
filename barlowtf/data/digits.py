"""Data source `digits`: 1,797 scans of handwritten digits inside scikit-learn's wheel; no download."""

import numpy as np
from sklearn.datasets import load_digits

from barlowtf.data.arrays import ArraySource
from barlowtf.data.kind import SourceKind

# Every fifth example is for testing: 360 of 1,797.
_TEST_EVERY = 5
# scikit-learn stores ink in 17 steps.
_INK_LEVELS = 16


def digits_source(split: str) -> ArraySource:
    """Returns the digits, uint8 [8, 8, 1] in 0..255; ink is bright.

    Args:
        split: "train" (1,437 examples) or "test" (360: every fifth).

    Source: E. Alpaydin and C. Kaynak, "Optical recognition of handwritten digits", UCI, 1998.
    """
    bunch = load_digits()
    images = np.round(bunch.images * (255 / _INK_LEVELS)).astype(np.uint8)[..., np.newaxis]
    is_test = np.arange(len(images)) % _TEST_EVERY == 0
    chosen = is_test if split == "test" else ~is_test
    return ArraySource(
        f"digits {split}",
        images[chosen],
        bunch.target[chosen],
        class_names=tuple(str(name) for name in bunch.target_names),
    )


DIGITS = SourceKind(prefix="digits", open=lambda rest, split: digits_source(split))
