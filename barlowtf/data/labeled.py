"""Some examples of a data set, and their classes."""

import logging
from dataclasses import dataclass

import numpy as np

from barlowtf.data.center_views import readable_ids
from barlowtf.data.source import Source
from barlowtf.errors import DataError

_LOG = logging.getLogger("barlowtf")


@dataclass(frozen=True)
class Labeled:
    """Some examples of a data set, and their classes.

    Attributes:
        source: The data set.
        ids: Numbers of the examples, int64 [n].
        labels: Their classes, int64 [n].
    """

    source: Source
    ids: np.ndarray
    labels: np.ndarray

    @property
    def size(self) -> int:
        """Number of examples, n."""
        return len(self.ids)


def labeled(source: Source, ids: np.ndarray | None = None) -> Labeled:
    """Returns examples with their labels.

    Args:
        source: A data set with labels.
        ids: Numbers of the examples, integer [n]; None: all.

    Raises:
        DataError: The data set has no labels.
    """
    ids = np.arange(source.size, dtype=np.int64) if ids is None else np.asarray(ids, np.int64)
    return Labeled(source, ids, source.labels_of(ids))


def readable_part(examples: Labeled, channels: int) -> Labeled:
    """Returns the examples whose images can be read, all read once; the log names those that cannot.

    Args:
        examples: Any examples.
        channels: Channels of the images, >= 1.

    Raises:
        DataError: No image can be read.
    """
    source, ids = examples.source, examples.ids
    readable = readable_ids(source, ids, channels=channels)
    if len(readable) == len(ids):
        return examples
    lost = np.setdiff1d(ids, readable)
    names = ", ".join(source.identify(int(number)) for number in lost[:5])
    if not len(readable):
        raise DataError(
            f"Cannot read any image of {source.name}: all {len(ids)} are unreadable, e.g. {names}. "
            "Check that the files are images."
        )
    _LOG.warning("%d of %d images cannot be read and are left out, e.g. %s.", len(lost), len(ids), names)
    return Labeled(source, readable, examples.labels[np.isin(ids, readable)])
