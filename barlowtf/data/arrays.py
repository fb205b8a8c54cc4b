"""Decoded images in memory: given as an array, or small ones that are read once."""

import hashlib
import math
from typing import cast

import numpy as np
import tensorflow as tf

from barlowtf.data.center_views import readable_ids
from barlowtf.data.images import decode, unreadable_reason
from barlowtf.data.rendering import EIGHT_BITS, Rendering
from barlowtf.data.source import Source

# CIFAR takes 147 MiB.
_PRELOAD_BYTES = 512 * 2**20
# Images that are looked at for one that can be read, and for one of another size.
_FIRST, _SPREAD = 8, 16


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

    def __init__(self, source: Source, images: tf.Tensor, lost: dict[int, str]) -> None:
        super().__init__(
            name=source.name, size=source.size, fingerprint=lambda: source.fingerprint, has_labels=source.has_labels
        )
        self._source, self._images, self._lost = source, images, lost

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return tuple(self._images.shape[1:])

    @property
    def class_names(self) -> tuple[str, ...] | None:
        return self._source.class_names

    def read(self, index: tf.Tensor) -> tf.Tensor:
        if not self._lost:
            return tf.gather(self._images, index)
        lost = tf.constant(list(self._lost), tf.int64)
        is_there = tf.reduce_all(tf.cast(index, tf.int64)[..., tf.newaxis] != lost)
        if tf.executing_eagerly():
            if not is_there:
                reasons = [self._lost.get(int(number)) for number in np.ravel(index)]
                raise tf.errors.InvalidArgumentError(None, None, next(reason for reason in reasons if reason))
            return tf.gather(self._images, index)
        with tf.control_dependencies([tf.debugging.Assert(is_there, ["An image could not be read."])]):
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
        A data set of the same examples in the same order, of which the same cannot be read; `source` itself where the
        images would take more than `limit`, or differ in size.

    Raises:
        DataError: The images' channels cannot become `channels`.
    """
    if source.image_shape is not None:
        return source
    looked_at = (_image(source, number, channels, rendering) for number in range(min(source.size, _FIRST)))
    first = next((image for image in looked_at if image is not None), None)
    if first is None or source.size * math.prod(first.shape) * first.dtype.size > limit:
        return source
    ids, lost = np.arange(source.size), {}
    try:
        images = _decoded(source, ids, channels, first, rendering)
    except tf.errors.OpError:
        spread = np.unique(np.linspace(0, source.size - 1, _SPREAD).astype(np.int64))
        others = [_image(source, int(number), channels, rendering) for number in spread]
        if any(other is not None and other.shape != first.shape for other in others):
            return source
        # Images that are small and of one size are worth a pass over all of them, to find those that cannot be read.
        ids = readable_ids(source, ids, channels=channels, rendering=rendering)
        missing = np.setdiff1d(np.arange(source.size), ids)
        lost = {int(number): unreadable_reason(source, int(number), channels, rendering) or "" for number in missing}
        try:
            images = _decoded(source, ids, channels, first, rendering)
        except tf.errors.OpError:
            return source
    with tf.device("CPU:0"):
        return _PreloadedSource(source, tf.constant(images), lost)


def _image(source: Source, number: int, channels: int, rendering: Rendering) -> tf.Tensor | None:
    """Returns an image, [H, W, C]; None where it cannot be read."""
    if unreadable_reason(source, number, channels, rendering) is not None:
        return None
    return decode(source.read(tf.constant(number, tf.int64)), channels, rendering)


def _decoded(source: Source, ids: np.ndarray, channels: int, first: tf.Tensor, rendering: Rendering) -> np.ndarray:
    """Returns some images in the places of their numbers, [size, H, W, C].

    Raises:
        tf.errors.OpError: One cannot be read, or is not as large as `first`.
    """

    @tf.autograph.experimental.do_not_convert
    def read(index: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(decode(source.read(index), channels, rendering), first.shape)

    examples = tf.data.Dataset.from_tensor_slices(ids).map(read, num_parallel_calls=tf.data.AUTOTUNE)
    images = np.zeros([source.size, *first.shape], first.dtype.as_numpy_dtype)
    start = 0
    for batch in examples.batch(256).prefetch(2):
        images[ids[start : start + len(batch)]] = batch
        start += len(batch)
    return images
