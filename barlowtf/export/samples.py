"""Real images on which an export is compared with its source, and from which a quantized one takes its ranges."""

import logging
import math
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_sample_images

from barlowtf import data
from barlowtf.encoders.encoder import Encoder
from barlowtf.encoders.extracting import center_views
from barlowtf.errors import DataError

_LOG = logging.getLogger("barlowtf")
_CROP_SIDE = 300


@dataclass(frozen=True)
class Sample:
    """Some images.

    Attributes:
        name: Where they come from.
        encoded: M images as PNG, of any sizes, as the data set has them once decoded.
        views: Their center views, uint8 [M, S, S, C].
        labels: Their classes, int64 [M]; None where there are none.
        class_names: Name of each class; None where they are only numbered.
    """

    name: str
    encoded: list[bytes]
    views: np.ndarray
    labels: np.ndarray | None
    class_names: tuple[str, ...] | None = None

    def for_head(self, class_names: tuple[str, ...]) -> "Sample":
        """Returns the sample with labels as a head numbers them; without, where the head does not know a class.

        Args:
            class_names: Name of each class of the head; its number where it has none.
        """
        if self.labels is None:
            return self
        number = {name: position for position, name in enumerate(class_names)}
        names = [str(label) if self.class_names is None else self.class_names[label] for label in self.labels]
        unknown = sorted(set(names) - number.keys())
        if unknown:
            _LOG.warning(
                "The head has no class %s, which images of %s have: their accuracy is not measured.",
                ", ".join(unknown[:3]) + (f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""),
                self.name,
            )
            return replace(self, labels=None)
        return replace(self, labels=np.array([number[name] for name in names], np.int64))


def open_sample(spec: str | None, encoder: Encoder, count: int) -> Sample:
    """Returns images of a data set's test split, of its training split where it has no other, evenly spread over it.

    Args:
        spec: SPEC of the data; None: crops of the two photographs in scikit-learn.
        encoder: The encoder that the views are for.
        count: Number of images, >= 1; fewer where there are fewer.

    Raises:
        DataError: No image can be read.
    """
    if spec is None:
        return _photographs(encoder, count)
    source = data.open_source(spec, "test") or data.open_source(spec, "train")
    encoder = _of_eight_bits(encoder)
    ids = _spread(source, encoder, count)
    channels = encoder.image_shape[2]
    images = [data.decode(source.read(tf.constant(number)), channels, encoder.rendering) for number in ids]
    views = np.concatenate([batch.numpy() for batch in center_views(encoder, source, ids)])
    labels = source.labels_of(ids) if source.has_labels else None
    # Without a label for each there is no accuracy to compare.
    labels = None if labels is None or (labels < 0).any() else labels
    encoded = [tf.io.encode_png(image).numpy() for image in images]
    return Sample(source.name, encoded, views, labels, source.class_names if labels is not None else None)


def calibration_views(spec: str, encoder: Encoder, count: int) -> np.ndarray:
    """Returns center views of training images, uint8 [M, S, S, C], evenly spread over the data set.

    Raises:
        DataError: No image can be read.
    """
    source, encoder = data.open_source(spec, "train"), _of_eight_bits(encoder)
    return np.concatenate([batch.numpy() for batch in center_views(encoder, source, _spread(source, encoder, count))])


def _of_eight_bits(encoder: Encoder) -> Encoder:
    """Returns the encoder with images of 8 bits: exported ones take no others."""
    return replace(encoder, rendering=replace(encoder.rendering, depth=8))


def _spread(source: data.Source, encoder: Encoder, count: int) -> np.ndarray:
    """Returns the numbers of readable images, int64 [<= count], evenly spaced."""
    ids = np.unique(np.linspace(0, source.size - 1, min(count, source.size)).round().astype(np.int64))
    readable = data.readable_ids(source, ids, channels=encoder.image_shape[2], rendering=encoder.rendering)
    if not len(readable):
        raise DataError(f"No image of {source.name} can be read: tried {len(ids)}. Expected image files.")
    return readable


def _photographs(encoder: Encoder, count: int) -> Sample:
    """Returns square crops of two photographs by turns, their corners evenly spaced over each."""
    size, _, channels = encoder.image_shape
    photographs = load_sample_images().images  # uint8 [427, 640, 3] each
    steps = math.ceil(math.sqrt(math.ceil(count / len(photographs))))
    images = []
    for number in range(count):
        photograph, place = photographs[number % len(photographs)], number // len(photographs)
        corners = [np.linspace(0, side - _CROP_SIDE, steps).round().astype(int) for side in photograph.shape[:2]]
        top, left = corners[0][place // steps], corners[1][place % steps]
        crop = photograph[top : top + _CROP_SIDE, left : left + _CROP_SIDE]
        images.append(data.decode(tf.constant(crop), channels))
    views = np.stack([data.center_view(image, size).numpy() for image in images])
    return Sample("photographs of scikit-learn", [tf.io.encode_png(image).numpy() for image in images], views, None)
