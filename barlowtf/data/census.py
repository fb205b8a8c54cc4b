"""Every image of a data set, read once: which can be read, which are of one value, and what tells equal ones.

Letters: n images, S = 16 pixels on a side of a thumbnail.
"""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from PIL import Image

from barlowtf.data.images import reason_of_image
from barlowtf.data.sample import stored_image
from barlowtf.data.source import Source
from barlowtf.data.stored import StoredImage
from barlowtf.data.tally import ImageFacts, Tally, colors_of, image_facts
from barlowtf.data.threads import cores

THUMBNAIL_SIDE = 16
# Images that wait for their threads at a time: a million of them at once would take a gigabyte.
_CHUNK = 2048


@dataclass(frozen=True)
class Census:
    """What the images of a data set are.

    Attributes:
        tally: Sums over the images that can be read.
        problems: Number of an image that cannot be read -> why.
        flat: Numbers of the images whose pixels all have one color, int64 [k].
        ids: Numbers of the images that can be read, int64 [n].
        digests: SHA-256 of shape, type and decoded pixels of each of these, upright.
        channels: Number of color channels of each of these, int64 [n].
        thumbnails: Each of these as uint8 [n, S, S, 3], its contrast stretched where it has not 8 bits.
    """

    tally: Tally
    problems: dict[int, str]
    flat: np.ndarray
    ids: np.ndarray
    digests: list[bytes]
    channels: np.ndarray
    thumbnails: np.ndarray


@dataclass(frozen=True)
class _Seen:
    facts: ImageFacts
    digest: bytes
    is_flat: bool
    thumbnail: np.ndarray


def take_census(source: Source, progress: Callable[[int], None] = lambda count: None) -> Census:
    """Reads every image of a data set once, in as many threads as there are cores.

    Args:
        source: The images.
        progress: Called with the number of images that were read since the call before.
    """
    tally, problems, seen = Tally(), {}, []
    with ThreadPoolExecutor(cores()) as threads:
        for start in range(0, source.size, _CHUNK):
            numbers = range(start, min(start + _CHUNK, source.size))
            for number, image in zip(numbers, threads.map(lambda number: _see(source, number), numbers), strict=True):
                if isinstance(image, _Seen):
                    tally.add(image.facts)
                    seen.append((number, image))
                else:
                    problems[number] = image
                progress(1)
    return Census(
        tally=tally,
        problems=problems,
        flat=np.array([number for number, image in seen if image.is_flat], np.int64),
        ids=np.array([number for number, _ in seen], np.int64),
        digests=[image.digest for _, image in seen],
        channels=np.array([image.facts.channels for _, image in seen], np.int64),
        thumbnails=np.array([image.thumbnail for _, image in seen], np.uint8).reshape(
            -1, THUMBNAIL_SIDE, THUMBNAIL_SIDE, 3
        ),
    )


def _see(source: Source, number: int) -> _Seen | str:
    """Returns what is kept of an image, or why it cannot be read."""
    try:
        image = stored_image(source, number)
    except (ValueError, tf.errors.OpError) as error:
        return reason_of_image(error)
    colors = colors_of(image)
    is_flat = bool((colors == colors[:1, :1]).all())
    return _Seen(image_facts(image), _digest(image), is_flat, _thumbnail(colors))


def _digest(image: StoredImage) -> bytes:
    """Returns a hash of what is shown: a copy with other metadata, or another lossless format, has the same."""
    pixels = np.ascontiguousarray(image.pixels)
    return hashlib.sha256(f"{pixels.shape} {pixels.dtype} {image.has_alpha}".encode() + pixels.tobytes()).digest()


def _thumbnail(colors: np.ndarray) -> np.ndarray:
    """Returns the means of S x S boxes, uint8 [S, S, 3]."""
    side = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    if colors.dtype == np.uint8 and colors.shape[2] in (1, 3):
        small = Image.fromarray(colors[..., 0] if colors.shape[2] == 1 else colors).resize(side, Image.Resampling.BOX)
        return np.broadcast_to(np.atleast_3d(np.asarray(small)), (*side, 3))
    # Of many channels or bits: the mean over channels, from its darkest to its brightest box.
    gray = Image.fromarray(colors.mean(axis=-1, dtype=np.float32)).resize(side, Image.Resampling.BOX)
    values = np.asarray(gray)
    stretched = 255 * (values - values.min()) / max(float(values.max() - values.min()), 1e-12)
    return np.repeat(np.round(stretched).astype(np.uint8)[..., np.newaxis], 3, axis=2)
