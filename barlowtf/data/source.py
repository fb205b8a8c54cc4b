"""The contract of every data set: a fixed number of examples, each readable by its number alone."""

import abc
import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from barlowtf.errors import DataError

# Labels lie below it: tables have a row for each class. ImageNet-21k has 21,841 classes.
LABEL_LIMIT = 2**20


class Source(abc.ABC):
    """Examples with random access; what the input pipeline, the kNN monitor and the writer read.

    Attributes:
        name: Short name for messages, e.g. "digits test".
        size: Number of examples, >= 1.
        fingerprint: sha256, 64 hexadecimal digits, over what identifies the data; taken when it is first asked for.
        has_labels: Whether each example has a label.
        unlabeled: Where the examples lie that have no label while others have one.
        notes: What was passed over or understood otherwise than its user may think, one line each.
    """

    unlabeled: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __init__(self, *, name: str, size: int, fingerprint: str | Callable[[], str], has_labels: bool) -> None:
        """Records what every data set has.

        Args:
            name: Short name for messages.
            size: Number of examples.
            fingerprint: sha256 in hexadecimal digits, or what takes it, where files must be read for it.
            has_labels: Whether each example has a label.

        Raises:
            DataError: There is no example.
        """
        if size < 1:
            raise DataError(f"{name} is empty. Received 0 examples. Expected at least one.")
        self.name = name
        self.size = size
        self._fingerprint = fingerprint
        self.has_labels = has_labels

    @property
    def fingerprint(self) -> str:
        """See the class."""
        if not isinstance(self._fingerprint, str):
            # What takes it holds the names of all files, which are not needed again.
            self._fingerprint = self._fingerprint()
        return self._fingerprint

    @abc.abstractmethod
    def read(self, index: tf.Tensor) -> tf.Tensor:
        """Returns example `index` as it is stored; runs eagerly and inside `tf.data`.

        Args:
            index: int64 [], in [0, size).

        Returns:
            An encoded image, string [], or a decoded one, uint8, uint16, or float32 in [0, 1], [H, W, C].
        """

    @abc.abstractmethod
    def identify(self, index: int) -> str:
        """Returns where example `index` lies, for a message: a file, or a file and a position."""

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """Height, width and channels where all images lie decoded and of one size in memory, else None.

        Where it is known, `read` also takes int64 [n] and returns [n, H, W, C].
        """
        return None

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Name of each label, or None where labels have no names."""
        return None

    @functools.cached_property
    def labels(self) -> np.ndarray | None:
        """Labels of all examples, int64 [size], < 0 where one has none; None without labels.

        Reading them may mean reading all records.
        """
        return self.labels_of(np.arange(self.size)) if self.has_labels else None

    def labels_of(self, ids: np.ndarray) -> np.ndarray:
        """Returns the labels of some examples without touching the others.

        Args:
            ids: Numbers of the examples, integer [n], in [0, size).

        Returns:
            int64 [n]; `NO_LABEL` where an example has none, or its record cannot be read.

        Raises:
            DataError: The data set has no labels, or one is no number of a class: it is too large.
        """
        if not self.has_labels:
            raise DataError(f"{self.name} has no labels. Expected one for each example, e.g. a folder for each class.")
        ids = np.asarray(ids, np.int64)
        labels = self._read_labels(ids)
        if len(labels) and labels.max() >= LABEL_LIMIT:
            place = int(labels.argmax())
            raise DataError(
                f"Invalid label of {self.identify(int(ids[place]))}: received {labels[place]}, expected the number of "
                f"a class, below {LABEL_LIMIT:,}. Number the classes from 0."
            )
        return labels

    @abc.abstractmethod
    def _read_labels(self, ids: np.ndarray) -> np.ndarray:
        """Returns int64 [n]; called only where `has_labels`."""
