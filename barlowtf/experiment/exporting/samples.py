"""Real images on which an export is compared with its source, and from which a quantized one takes its ranges."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_sample_images

from barlowtf import data
from barlowtf.encoders.encoder import Encoder
from barlowtf.encoders.extracting import center_views
from barlowtf.errors import DataError

_CROP_SIDE = 300


@dataclass(frozen=True)
class Sample:
    """Some images.

    Attributes:
        name: Where they come from.
        encoded: M images as PNG, of any sizes, as the data set has them once decoded.
        views: Their center views, uint8 [M, S, S, C].
        labels: int64 [M]; None where there are none.
    """

    name: str
    encoded: list[bytes]
    views: np.ndarray
    labels: np.ndarray | None


def open_sample(spec: str | None, encoder: Encoder, count: int) -> Sample:
    """Returns images of a data set's test split, of its training split where it has no other, evenly spread over it.

    Args:
        spec: SPEC of the data; None: crops of the two photographs that scikit-learn brings along.
        encoder: Says how large a view is.
        count: How many, >= 1; fewer where there are fewer.

    Raises:
        DataError: None can be read.
    """
    if spec is None:
        return _photographs(encoder, count)
    source = data.open_source(spec, "test") or data.open_source(spec, "train")
    ids = _spread(source, encoder, count)
    channels = encoder.image_shape[2]
    images = [data.decode(source.read(tf.constant(number)), channels) for number in ids]
    views = np.concatenate([batch.numpy() for batch in center_views(encoder, source, ids)])
    labels = source.labels_of(ids) if source.has_labels else None
    return Sample(source.name, [tf.io.encode_png(image).numpy() for image in images], views, labels)


def representative_views(spec: str, encoder: Encoder, count: int) -> np.ndarray:
    """Returns center views of training images, uint8 [M, S, S, C], evenly spread over the data set.

    Raises:
        DataError: None can be read.
    """
    source = data.open_source(spec, "train")
    return np.concatenate([batch.numpy() for batch in center_views(encoder, source, _spread(source, encoder, count))])


def _spread(source: data.Source, encoder: Encoder, count: int) -> np.ndarray:
    """Returns the numbers of readable images, int64 [<= count], in equal distances."""
    ids = np.unique(np.linspace(0, source.size - 1, min(count, source.size)).round().astype(np.int64))
    readable = data.readable_ids(source, ids, channels=encoder.image_shape[2])
    if not len(readable):
        raise DataError(f"No image of {source.name} can be read. Received {len(ids)} unreadable ones.")
    return readable


def _photographs(encoder: Encoder, count: int) -> Sample:
    size, _, channels = encoder.image_shape
    r = np.random.default_rng(0)
    photographs = load_sample_images().images  # uint8 [427, 640, 3] each
    images = []
    for number in range(count):
        photograph = photographs[number % len(photographs)]
        top, left = (r.integers(0, side - _CROP_SIDE) for side in photograph.shape[:2])
        crop = photograph[top : top + _CROP_SIDE, left : left + _CROP_SIDE]
        images.append(data.decode(tf.constant(crop), channels))
    views = np.stack([data.center_view(image, size).numpy() for image in images])
    return Sample("photographs of scikit-learn", [tf.io.encode_png(image).numpy() for image in images], views, None)
