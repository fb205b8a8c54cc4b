"""Features of an encoder, computed once for all protocols."""

import hashlib
import json
from pathlib import Path

import numpy as np

from barlowtf.data import Labeled
from barlowtf.encoders import Encoder
from barlowtf.encoders.extracting import extract


class FeatureStore:
    """A function of examples: their features, kept for the next who asks for the same images."""

    def __init__(self, encoder: Encoder, folder: Path) -> None:
        """Computes nothing yet.

        Args:
            encoder: Makes the features.
            folder: Keeps the features of large data sets while they are computed.
        """
        self._encoder, self._folder = encoder, folder
        self._features: dict[str, np.ndarray] = {}
        self._whole: Labeled | None = None

    def expect_parts(self, whole: Labeled) -> None:
        """Says that parts of these images, in several divisions, will be asked for: all are computed at once."""
        self._whole = whole

    def __call__(self, examples: Labeled) -> np.ndarray:
        """Returns features of center views in inference mode, float32 [M, d]."""
        whole = self._whole
        if whole is None or whole.source is not examples.source or not np.isin(examples.ids, whole.ids).all():
            return self._compute(examples)
        order = np.argsort(whole.ids)
        return self._compute(whole)[order[np.searchsorted(whole.ids, examples.ids, sorter=order)]]

    def _compute(self, examples: Labeled) -> np.ndarray:
        # The name too: of large files the fingerprint holds a sample alone.
        facts = [examples.source.name, examples.source.fingerprint, json.dumps(self._encoder.identity)]
        digest = hashlib.sha256("\n".join(facts).encode("utf-8", "replace"))
        digest.update(examples.ids.tobytes())
        key = digest.hexdigest()
        if key not in self._features:
            self._features[key] = extract(self._encoder, examples, self._folder / key[:16])
        return self._features[key]
