"""Some examples of a data set, and their classes."""

import logging
from dataclasses import dataclass

import numpy as np

from barlowtf.data.center_views import readable_ids
from barlowtf.data.images import unreadable_reason
from barlowtf.data.rendering import EIGHT_BITS, Rendering
from barlowtf.data.skipped import SkippedImages
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
    """Returns examples with their labels; those without one are left out, and the log counts them.

    Args:
        source: A data set with labels.
        ids: Numbers of the examples, integer [n]; None: all.

    Raises:
        DataError: The data set has no labels, or none of these examples has one.
    """
    ids = np.arange(source.size, dtype=np.int64) if ids is None else np.asarray(ids, np.int64)
    labels = source.labels_of(ids)
    known = labels >= 0
    if known.all():
        return Labeled(source, ids, labels)
    first = source.identify(int(ids[~known][0]))
    if not known.any():
        raise DataError(f"No labels in {source.name}: none of {len(ids)} images has one (< 0), e.g. {first}.")
    _LOG.warning(
        "%d of %d images of %s have no label, e.g. %s: left out.", (~known).sum(), len(ids), source.name, first
    )
    return Labeled(source, ids[known], labels[known])


def readable_part(
    examples: Labeled, channels: int, rendering: Rendering = EIGHT_BITS, skipped: SkippedImages | None = None
) -> Labeled:
    """Returns the examples whose images can be read, all read once.

    Args:
        examples: Any examples.
        channels: Channels of the images, >= 1.
        rendering: How they are decoded.
        skipped: Receives those that cannot be read; None: none is counted with others.

    Raises:
        DataError: No image can be read, or too many cannot.
        OSError: The list of images that are passed over cannot be written.
    """
    skipped = SkippedImages() if skipped is None else skipped
    source, ids = examples.source, examples.ids
    readable = readable_ids(source, ids, channels=channels, rendering=rendering)
    if len(readable) == len(ids):
        return examples
    lost = np.setdiff1d(ids, readable)
    if not len(readable):
        names = ", ".join(source.identify(int(number)) for number in lost[:5])
        raise DataError(
            f"Cannot read any image of {source.name}: all {len(ids)} are unreadable, e.g. {names}. "
            "Check that the files are images."
        )
    for number in lost.tolist():
        # One that can be read now was changed meanwhile; it has been left out, so it counts.
        reason = unreadable_reason(source, number, channels, rendering) or "it could not be read for a moment"
        skipped.skip(source, number, reason)
    return Labeled(source, readable, examples.labels[np.isin(ids, readable)])
