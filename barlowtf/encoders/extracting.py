"""Features of many images, in parts that are kept on the disk: an interrupted extraction goes on after the last one."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from barlowtf import data
from barlowtf.atomic import whole_file
from barlowtf.data import Labeled
from barlowtf.encoders.encoder import Encoder
from barlowtf.errors import DataError

_LOG = logging.getLogger("barlowtf")
_BATCH = 256
# Images between two saves: the most that a signal costs, and the fewest that are worth a file.
PART_IMAGES = 2_000


def extract(encoder: Encoder, examples: Labeled, folder: Path) -> np.ndarray:
    """Returns the features of center views, float32 [M, d], in inference mode.

    Args:
        encoder: The encoder.
        examples: M images; their classes are not used.
        folder: Folder of the parts, made when missing; a later call for the same encoder and images reads them.

    Raises:
        DataError: Features are not finite.
        tf.errors.OpError: An image cannot be read.
        Interrupted: A signal came; finished parts are kept.
    """
    features = np.empty((examples.size, encoder.width), np.float32)
    started, first = time.monotonic(), None
    for start in range(0, examples.size, PART_IMAGES):
        rows = slice(start, min(start + PART_IMAGES, examples.size))
        file = folder / f"part-{start // PART_IMAGES:05d}.npy"
        part = _read(file, (rows.stop - start, encoder.width))
        if part is None:
            first = start if first is None else first
            part = encoder.features_of(center_views(encoder, examples.source, examples.ids[rows]), rows.stop - start)
            require_finite(encoder.name, part, np.arange(rows.start, rows.stop))
            if examples.size > PART_IMAGES:
                _write(file, part)
                log_progress(rows.stop, first, examples.size, started)
        features[rows] = part
    return features


def center_views(encoder: Encoder, source: data.Source, ids: np.ndarray) -> tf.data.Dataset:
    """Returns batches of center views of the encoder's size and bits, uint8 or uint16 [n, S, S, C]."""
    size, _, channels = encoder.image_shape
    return data.center_views(source, ids, size=size, channels=channels, batch_size=_BATCH, rendering=encoder.rendering)


def readable_views(
    encoder: Encoder, source: data.Source, ids: np.ndarray, skipped: data.SkippedImages
) -> Iterator[tuple[np.ndarray, tf.Tensor]]:
    """Yields numbers and center views, as of `center_views`, of the images that can be read."""
    size, _, channels = encoder.image_shape
    return data.readable_views(
        source, ids, size=size, channels=channels, batch_size=_BATCH, skipped=skipped, rendering=encoder.rendering
    )


def log_progress(done: int, first: int, size: int, started: float) -> None:
    """Logs how many images are done, how fast, and how long the rest will take.

    Args:
        done: Number of images done, of `size`.
        first: Number of the first image that this process has done.
        size: Number of all images.
        started: `time.monotonic()` at the first one, s.
    """
    speed = (done - first) / max(time.monotonic() - started, 1e-9)
    _LOG.info("%s of %s images  %.4g images/s  %.0f s left", f"{done:,}", f"{size:,}", speed, (size - done) / speed)


def require_finite(name: str, values: np.ndarray, numbers: np.ndarray, *, what: str = "Features") -> None:
    """Refuses features with NaN or infinity, which no result, file or comparison can be made of.

    Args:
        name: The encoder, for the message.
        values: float [n, d], or another output of it.
        numbers: Number of each image, integer [n].
        what: Name of the values, for the message.

    Raises:
        DataError: Not all are finite.
    """
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise DataError(
            f"{what} of {name} are not finite in {len(bad)} of {len(values)} images, first in number "
            f"{numbers[bad[0]]}. Expected numbers. The encoder has diverged, or its images are normalized wrongly."
        )


def _read(file: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """Returns a part; None where it is missing or damaged."""
    try:
        part = np.load(file)
    except (OSError, ValueError, EOFError):
        return None
    return part if part.shape == shape and part.dtype == np.float32 else None


def _write(file: Path, part: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as aside:
        np.save(aside, part)
