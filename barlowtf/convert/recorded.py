"""What a conversion is held against: the official output for weights that are known by their hash.

recorded.npz holds, under the sha256 of an encoder's weights, `shape` and `seed` of its input, which is
`default_rng(seed).standard_normal(shape)` in float32, and the `features` of that input, computed by the official code.
"""

from importlib import resources
from typing import NamedTuple, cast

import keras
import numpy as np

from barlowtf.models.fingerprint import weights_sha256


class RecordedDifference(NamedTuple):
    """How far features are from the official output."""

    largest: float  # of all features
    relative: float  # that, divided by the largest feature
    images: tuple[int, int, int, int]  # shape of the input, [N, H, W, C]


def compare_with_recorded(encoder: keras.Model) -> RecordedDifference | None:
    """Returns how far an encoder's features, in inference mode, are from the official output for the same weights.

    Args:
        encoder: Normalized images [N, H, W, C] of any height and width -> features [N, d].

    Returns:
        None where no official output is recorded for its weights.
    """
    sha256 = weights_sha256(encoder)
    file = resources.files("barlowtf.convert") / "recorded.npz"
    with file.open("rb") as stream, np.load(stream) as recorded:
        if f"{sha256}/features" not in recorded:
            return None
        shape = tuple(int(size) for size in recorded[f"{sha256}/shape"])
        seed, expected = int(recorded[f"{sha256}/seed"]), recorded[f"{sha256}/features"]
    images = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    features = encoder(images, training=False).numpy()
    largest = float(np.abs(features - expected).max())
    return RecordedDifference(largest, largest / float(np.abs(expected).max()), cast(tuple[int, int, int, int], shape))
