"""Images that lie decoded in memory."""

import hashlib

import numpy as np
import tensorflow as tf

from barlowtf.data.source import Source


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
            raise ValueError(
                f"images do not fit. Received {images.dtype} {images.shape}. Expected uint8 [size, H, W, C]."
            )
        if labels is not None and labels.shape != images.shape[:1]:
            raise ValueError(f"labels do not fit. Received shape {labels.shape}. Expected {images.shape[:1]}.")
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
    def class_names(self) -> tuple[str, ...] | None:
        """Name of each label, or None where labels have no names."""
        return self._class_names

    def read(self, index: tf.Tensor) -> tf.Tensor:
        """Returns image `index`, uint8 [H, W, C]."""
        return tf.gather(self._images, index)

    def identify(self, index: int) -> str:
        """Returns "NAME image INDEX"."""
        return f"{self.name} image {index}"

    def _read_labels(self, ids: np.ndarray) -> np.ndarray:
        return self._labels[ids]
