"""A data set of image files."""

import hashlib
import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from barlowtf.data.content import sampled_content
from barlowtf.data.source import Source

# Validation first: where a data set has both, its test images often have no labels (ImageNet).
TEST_FOLDERS = ("val", "validation", "test")


class ImageFiles(Source):
    """Image files below one folder, read when they are needed."""

    def __init__(
        self,
        name: str,
        folder: Path,
        files: list[tuple[str, int]],
        class_names: tuple[str, ...] | None = None,
        labels: np.ndarray | None = None,
        unlabeled: tuple[str, ...] = (),
        notes: tuple[str, ...] = (),
    ) -> None:
        """Keeps the paths.

        Args:
            name: Short name for messages.
            folder: The folder of the files.
            files: Path relative to `folder` with "/" between its parts, and size in bytes, of each image.
            class_names: Name of each class; None when the files have no labels.
            labels: Class of each file, int64 [n]; None: the first part of its path is the name of its class.
            unlabeled: Paths of the files without a label where others have one.
            notes: See `Source`.
        """

        def fingerprint() -> str:
            digest = hashlib.sha256()
            for path, length in files:
                digest.update(os.fsencode(path) + b"\0%d\0" % length)
            digest.update(sampled_content([(os.fsencode(folder / path), length) for path, length in files]))
            if labels is not None:
                digest.update("\0".join(class_names or ()).encode("utf-8", "surrogateescape") + labels.tobytes())
            return digest.hexdigest()

        super().__init__(name=name, size=len(files), fingerprint=fingerprint, has_labels=class_names is not None)
        self.unlabeled, self.notes = unlabeled, notes
        # Bytes, not text: a file name on Linux need not be UTF-8.
        self._paths = tf.constant([os.fsencode(folder / path) for path, _ in files])
        self._class_names = class_names
        if labels is not None:
            self._labels = labels
        elif class_names is not None:
            number = {label: index for index, label in enumerate(class_names)}
            self._labels = np.array([number[path.partition("/")[0]] for path, _ in files], np.int64)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes; None without labels."""
        return self._class_names

    def read(self, index: tf.Tensor) -> tf.Tensor:
        """Returns the bytes of file `index`, string []."""
        return tf.io.read_file(tf.gather(self._paths, index))

    def identify(self, index: int) -> str:
        """Returns the path of file `index`."""
        return os.fsdecode(self._paths[index].numpy())

    def _read_labels(self, ids: np.ndarray) -> np.ndarray:
        return self._labels[ids]
