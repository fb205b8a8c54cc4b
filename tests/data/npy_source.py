"""A data source of your own: a folder of .npy files, photos/train/*.npy and photos/test/*.npy, uint8 [H, W, 3] each."""

import hashlib
from pathlib import Path

import numpy as np
import tensorflow as tf

from barlowtf.data import Source


class NpyFolder(Source):
    """Every .npy file of a folder is an image; the part of its name before "_" is its class."""

    def __init__(self, folder: Path) -> None:
        self._files = sorted(folder.glob("*.npy"))
        classes = [file.name.partition("_")[0] for file in self._files]
        self._class_names = tuple(sorted(set(classes)))
        self._labels = np.array([self._class_names.index(name) for name in classes], np.int64)
        # Whatever identifies the data: results and checkpoints of other data are told apart by it.
        content = "".join(f"{file.name} {file.stat().st_size}\n" for file in self._files)
        super().__init__(
            name=f"npy {folder.name}",
            size=len(self._files),
            fingerprint=hashlib.sha256(content.encode()).hexdigest(),
            has_labels=True,
        )

    @property
    def class_names(self) -> tuple[str, ...]:
        return self._class_names

    def read(self, index: tf.Tensor) -> tf.Tensor:
        # Runs inside tf.data, so what Python does is wrapped; the rank and the channels are known, the size is not.
        image = tf.numpy_function(lambda number: np.load(self._files[number]), [index], tf.uint8)
        return tf.ensure_shape(image, [None, None, 3])

    def identify(self, index: int) -> str:
        return str(self._files[index])

    def _read_labels(self, ids: np.ndarray) -> np.ndarray:
        return self._labels[ids]


def photos(split: str) -> Source | None:
    """Returns a split of the data set in the current folder, None where it has no such split."""
    folder = Path("photos", split)
    return NpyFolder(folder) if folder.is_dir() else None
