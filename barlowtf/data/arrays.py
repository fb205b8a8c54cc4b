"""Decoded images in memory: given as an array, or small ones that are read once."""

import hashlib
import math
from typing import cast

import numpy as np
import tensorflow as tf

from barlowtf.data.images import decode
from barlowtf.data.rendering import EIGHT_BITS, Rendering
from barlowtf.data.source import Source

# CIFAR takes 147 MiB.
_PRELOAD_BYTES = 512 * 2**20


class ArraySource(Source):
    """Images of one size in memory; `read` is one gather."""

    def __init__(
        self,
        name: str,
        images: np.ndarray,
        labels: np.ndarray | None = None,
        class_names: tuple[str, ...] | None = None,
    ) -> None:
        """Keeps the images as one tensor in host memory.

        Args:
            name: Short name for messages.
            images: uint8 [size, H, W, C].
            labels: Integers [size], or None.
            class_names: Name of each label, or None.

        Raises:
            ValueError: `images` is not uint8 [size, H, W, C], or `labels` has another length.
        """
        if images.dtype != np.uint8 or images.ndim != 4:
            raise ValueError(f"Invalid images: received {images.dtype} {images.shape}, expected uint8 [size, H, W, C].")
        if labels is not None and labels.shape != images.shape[:1]:
            raise ValueError(f"Invalid labels: received shape {labels.shape}, expected {images.shape[:1]}.")
        digest = hashlib.sha256(f"{images.shape}".encode())
        digest.update(images.tobytes())
        if labels is not None:
            digest.update(labels.astype(np.int64).tobytes())
        super().__init__(name=name, size=len(images), fingerprint=digest.hexdigest(), has_labels=labels is not None)
        # Without the device a machine with a GPU would keep the data set there and copy each image back.
        with tf.device("CPU:0"):
            self._images = tf.constant(images)
        self._labels = None if labels is None else labels.astype(np.int64)
        self._class_names = class_names

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        return tuple(self._images.shape[1:])

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Name of each label, or None where labels have no names."""
        return self._class_names

    def read(self, index: tf.Tensor) -> tf.Tensor:
        """Returns image `index`, uint8 [H, W, C], or the images of int64 [n], uint8 [n, H, W, C]."""
        return tf.gather(self._images, index)

    def identify(self, index: int) -> str:
        """Returns "NAME image INDEX"."""
        return f"{self.name} image {index}"

    def _read_labels(self, ids: np.ndarray) -> np.ndarray:
        return cast(np.ndarray, self._labels)[ids]


class _PreloadedSource(Source):
    """The examples of another source with their images decoded in memory; ids, labels and names are the other's."""

    def __init__(self, source: Source, images: tf.Tensor) -> None:
        super().__init__(
            name=source.name, size=source.size, fingerprint=lambda: source.fingerprint, has_labels=source.has_labels
        )
        self._source, self._images = source, images

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return tuple(self._images.shape[1:])

    @property
    def class_names(self) -> tuple[str, ...] | None:
        return self._source.class_names

    def read(self, index: tf.Tensor) -> tf.Tensor:
        return tf.gather(self._images, index)

    def identify(self, index: int) -> str:
        return self._source.identify(index)

    def _read_labels(self, ids: np.ndarray) -> np.ndarray:
        return self._source.labels_of(ids)


def preload(source: Source, channels: int, limit: int = _PRELOAD_BYTES, *, rendering: Rendering = EIGHT_BITS) -> Source:
    """Returns the data set with its images decoded in memory, where they are small and of one size.

    Reading a small file costs more than cropping it; in memory a few operations crop a whole batch.

    Args:
        source: Any data set.
        channels: Channels of the images, >= 1.
        limit: Maximum memory to take, bytes.
        rendering: Bits, white and background of the images.

    Returns:
        A data set of the same examples in the same order; `source` itself where the images would take more than
        `limit`, differ in size, or one cannot be read.

    Raises:
        DataError: The images' channels cannot become `channels`.
    """
    if source.image_shape is not None:
        return source
    try:
        first = decode(source.read(tf.constant(0, tf.int64)), channels, rendering)
        if source.size * math.prod(first.shape) * first.dtype.size > limit:
            return source
        examples = tf.data.Dataset.range(source.size).map(
            lambda index: tf.ensure_shape(decode(source.read(index), channels, rendering), first.shape),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        images = np.empty([source.size, *first.shape], first.dtype.as_numpy_dtype)
        start = 0
        for batch in examples.batch(256).prefetch(2):
            images[start : start + len(batch)] = batch
            start += len(batch)
    except tf.errors.OpError:
        return source
    with tf.device("CPU:0"):
        return _PreloadedSource(source, tf.constant(images))
