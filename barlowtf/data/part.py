"""Some of the examples of a data set, as a data set."""

import hashlib

import numpy as np
import tensorflow as tf

from barlowtf.data.source import Source


class PartOfSource(Source):
    """Examples of another data set by their numbers there, in that order."""

    def __init__(self, source: Source, ids: np.ndarray) -> None:
        """Keeps the numbers.

        Args:
            source: The data set.
            ids: Numbers of the examples, integer [n], n >= 1.

        Raises:
            DataError: There is no example.
        """
        ids = np.asarray(ids, np.int64)
        digest = hashlib.sha256(source.fingerprint.encode() + ids.astype("<i8").tobytes()).hexdigest()
        super().__init__(name=source.name, size=len(ids), fingerprint=digest, has_labels=source.has_labels)
        self._source, self._ids = source, ids

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Name of each label, or None where labels have no names."""
        return self._source.class_names

    def read(self, index: tf.Tensor) -> tf.Tensor:
        """Returns example `index` as it is stored."""
        return self._source.read(tf.gather(tf.constant(self._ids), index))

    def identify(self, index: int) -> str:
        """Returns where example `index` lies."""
        return self._source.identify(int(self._ids[index]))

    def _read_labels(self, ids: np.ndarray) -> np.ndarray:
        return self._source.labels_of(self._ids[ids])
