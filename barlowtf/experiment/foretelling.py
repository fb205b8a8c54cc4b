"""What an evaluation is about to do: its measurements, their number, and how long the features of the images take."""

import logging
import time
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from barlowtf.data import Labeled
from barlowtf.encoders import Encoder
from barlowtf.encoders.extracting import center_views
from barlowtf.evaluation import Chosen
from barlowtf.places import short_specs

_LOG = logging.getLogger("barlowtf")
# Images that compile the network, those whose features are timed, and the fewest in all that are worth it.
_COMPILED, _TIMED, _WORTH_TIMING = 32, 128, 2_000


def foretell(count: int, chosen: Sequence[Chosen], encoders: Sequence[str]) -> None:
    """Logs what is to be measured, where it is more than one measurement.

    Args:
        count: Number of measurements.
        chosen: Protocols.
        encoders: The SPEC of each encoder.
    """
    if count > 1:
        names = short_specs(encoders)
        protocols = ", ".join(choice.protocol.name for choice in chosen)
        listed = ", ".join(names[spec] for spec in dict.fromkeys(encoders))
        _LOG.info("%d measurements: %s of %s.", count, protocols, listed)


def foretell_features(encoder: Encoder, splits: Any, encoders: int) -> None:
    """Logs how long the features of many images will take, by those of a few.

    Args:
        encoder: Makes them; it has weights.
        splits: Training and test images.
        encoders: Number of encoders that will make theirs.
    """
    if not isinstance(splits.train, Labeled):
        return
    images = splits.train.size + (splits.test.size if splits.held_out is None else 0)
    if images < _WORTH_TIMING:
        return
    try:
        for count in (_COMPILED, _TIMED):
            ids, started = splits.train.ids[:count], time.monotonic()
            encoder.features_of(center_views(encoder, splits.train.source, ids), len(ids))
            seconds = time.monotonic() - started
    except tf.errors.OpError:
        # The measurement finds out which images cannot be read.
        return
    each = seconds / len(ids) * images
    times = "" if encoders == 1 else f" for each of {encoders} encoders"
    _LOG.info("The features of %s images take about %s%s.", f"{images:,}", _duration(each), times)


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
