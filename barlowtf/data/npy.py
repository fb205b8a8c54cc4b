"""Data source `npy`: a stack of images in one NumPy file, read where it lies.

::

    cells.npy          [N, H, W] or [N, H, W, C]: uint8, uint16, or floats in [0, 1]
    cells.labels.npy   [N]: whole numbers, or texts; -1 or an empty text for an image without one. May be missing

The file is the train split. The test split is the file whose name has "test", "val" or "validation" where its own has
its last "train"; without "train" in its name there is none.
"""

import hashlib
import os
import weakref
from pathlib import Path
from typing import cast

import numpy as np
import tensorflow as tf

from barlowtf.data.classes import number_classes
from barlowtf.data.kind import SourceKind
from barlowtf.data.npy_files import map_array
from barlowtf.data.pixels import as_pixels
from barlowtf.data.python_image import image_by_python
from barlowtf.data.source import Source
from barlowtf.errors import DataError
from barlowtf.places import given_path, similar_path
from barlowtf.regular import require_regular

LABELS_ENDING = ".labels.npy"
_TEST_WORDS = ("val", "validation", "test")
# Images whose pixels enter the fingerprint, evenly spread, so many or so many bytes: all of a large stack would take
# minutes to read.
_FEWEST_HASHED, _MOST_HASHED, _HASHED_BYTES = 64, 1024, 64_000_000


class NpyStack(Source):
    """The images of one memory-mapped array."""

    def __init__(
        self, file: Path, images: np.ndarray, labels: np.ndarray | None, class_names: tuple[str, ...] | None
    ) -> None:
        """Keeps the array; no image is read but those of the fingerprint.

        Args:
            file: The file of the array.
            images: [N, H, W, C], memory-mapped: uint8, uint16 or floats.
            labels: int64 [N], or None.
            class_names: Name of each label, or None.
        """
        digest = hashlib.sha256(f"{images.shape} {images.dtype.str}".encode())
        hashed = min(_MOST_HASHED, max(_FEWEST_HASHED, _HASHED_BYTES // max(1, images[0].nbytes)))
        for number in np.unique(np.linspace(0, len(images) - 1, hashed).astype(np.int64)):
            digest.update(images[number].tobytes())
        if labels is not None:
            digest.update(labels.tobytes())
        super().__init__(
            name=file.name, size=len(images), fingerprint=digest.hexdigest(), has_labels=labels is not None
        )
        self._file, self._images, self._labels, self._class_names = file, images, labels, class_names
        # Opened once: what is renamed or deleted meanwhile is still read.
        self._descriptor = os.open(file, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)
        self._dtype = tf.as_dtype(as_pixels(np.zeros_like(images[0][:1, :1])).dtype)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Name of each label, None where labels have none."""
        return self._class_names

    def read(self, index: tf.Tensor) -> tf.Tensor:
        """Returns image `index`, uint8, uint16 or float32 [H, W, C]."""
        image = image_by_python(self._pixels, index, self._dtype)
        return tf.ensure_shape(image, self._images.shape[1:])

    def identify(self, index: int) -> str:
        """Returns "FILE image INDEX"."""
        return f"{self._file} image {index}"

    def _pixels(self, number: np.int64) -> np.ndarray:
        return as_pixels(self._stored(int(number)))

    def _stored(self, number: int) -> np.ndarray:
        """Returns an image as it is stored.

        Raises:
            ValueError: The file has become shorter. Read through its memory map, it would end the process.
        """
        images, size = self._images, os.fstat(self._descriptor).st_size
        # An array in Fortran's order has no image in one piece.
        if not images.flags.c_contiguous or not isinstance(images, np.memmap):
            if size < images.nbytes:
                raise ValueError(f"The file has become shorter: it has {size} bytes")
            return images[number]
        length = images[number].nbytes
        content = os.pread(self._descriptor, length, images.offset + number * length)
        if len(content) < length:
            raise ValueError(f"The file has become shorter: it has {size} bytes")
        return np.frombuffer(content, images.dtype).reshape(images.shape[1:])

    def _read_labels(self, ids: np.ndarray) -> np.ndarray:
        return cast(np.ndarray, self._labels)[ids]


def npy_source(path: str, split: str) -> NpyStack | None:
    """Returns the images of a stack.

    Args:
        path: The file of the train split.
        split: "train" or "test".

    Returns:
        The split, or None when there is no test split.

    Raises:
        DataError: The file is missing, is no array of images, or its labels do not fit.
    """
    train = given_path(path)
    before, word, after = train.name.rpartition("train")
    others = [train.with_name(f"{before}{other}{after}") for other in _TEST_WORDS] if word else []
    test = next((file for file in others if file.is_file()), None)
    file = train if split == "train" else test
    if file is None:
        return None
    images = _map(file)
    texts = {other: _read_labels_file(other) for other in (train, test) if other is not None and other.is_file()}
    labels = texts[file]
    if labels is None:
        return NpyStack(file, images, None, None)
    if labels.shape != images.shape[:1]:
        raise DataError(
            f"Invalid labels {_labels_file(file)}: received shape {list(labels.shape)}, expected [{len(images)}], one "
            "for each image."
        )
    # One numbering for both splits.
    known = (part for part in texts.values() if part is not None)
    class_names, number = number_classes(label for part in known for label in part.tolist())
    numbers = np.array([number[label] for label in labels.tolist()], np.int64)
    return NpyStack(file, images, numbers, class_names) if (numbers >= 0).any() else NpyStack(file, images, None, None)


def _map(file: Path) -> np.ndarray:
    try:
        require_regular(file)
        images = map_array(file)
    except FileNotFoundError as error:
        raise DataError(f"Invalid file {file}: it does not exist.{similar_path(file)}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"Cannot read {file} as a .npy file: {str(error).splitlines()[0].rstrip('.')}.") from error
    if images.ndim not in (3, 4) or 0 in images.shape:
        raise DataError(
            f"Invalid images {file}: received {list(images.shape)}, expected one array [N, H, W] or "
            "[N, H, W, C]. Put one image per file into a folder, or stack them."
        )
    if images.dtype.kind != "f" and images.dtype.newbyteorder("=") not in (np.uint8, np.uint16, np.bool_):
        raise DataError(
            f"Invalid images {file}: received {images.dtype}, expected uint8, uint16, or floats in [0, 1]. Convert "
            "them."
        )
    return images if images.ndim == 4 else images[..., np.newaxis]


def _labels_file(file: Path) -> Path:
    return file.with_name(file.name.removesuffix(".npy") + LABELS_ENDING)


def _read_labels_file(file: Path) -> np.ndarray | None:
    """Returns the labels beside a stack, whole numbers or texts [N]; None where there are none."""
    labels_file = _labels_file(file)
    if not labels_file.is_file():
        return None
    try:
        # Mapped first: a header may declare more than the file holds.
        labels = np.array(map_array(labels_file))
    except (OSError, ValueError) as error:
        raise DataError(f"Cannot read {labels_file}: {str(error).splitlines()[0].rstrip('.')}.") from error
    if labels.ndim != 1 or labels.dtype.kind not in "iuU":
        raise DataError(
            f"Invalid labels {labels_file}: received {labels.dtype} {list(labels.shape)}, expected whole numbers or "
            "texts [N]."
        )
    return labels


NPY = SourceKind(prefix="npy:", open=npy_source)
