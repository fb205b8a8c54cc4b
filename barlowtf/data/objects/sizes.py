"""Heights and widths of images as they are decoded, from their headers."""

import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from barlowtf.data.source import Source
from barlowtf.data.stored import read_stored
from barlowtf.data.threads import cores
from barlowtf.errors import DataError

_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)
# Formats whose size another reader decides.
_NOT_BY_PILLOW = ("TIFF",)


def file_sizes(paths: Sequence[Path]) -> np.ndarray:
    """Returns height and width of image files in pixels, int64 [n, 2]; 0 where one cannot be read."""

    def size(path: Path) -> tuple[int, int]:
        try:
            return _header_size(path) or _whole_size(path.read_bytes())
        except OSError:
            return 0, 0

    return _sizes(size, paths)


def source_sizes(source: Source) -> np.ndarray:
    """Returns height and width of the images of a data set in pixels, int64 [n, 2]; 0 where one cannot be read."""

    def size(number: int) -> tuple[int, int]:
        try:
            image = source.read(tf.constant(number, tf.int64))
        except tf.errors.OpError:
            return 0, 0
        if image.dtype != tf.string:
            return int(image.shape[0]), int(image.shape[1])
        encoded = image.numpy()
        return _header_size(io.BytesIO(encoded)) or _whole_size(encoded)

    return _sizes(size, range(source.size))


def settled_sizes(decoded: np.ndarray, stated: np.ndarray, names: Sequence[str], where: str | Path) -> np.ndarray:
    """Returns the sizes of images, where one cannot be read what its annotation says.

    Args:
        decoded: Height and width, int64 [n, 2]; 0: it cannot be read.
        stated: What the annotations say, int64 [n, 2]; 0: nothing.
        names: Of the images, for messages.
        where: The file or folder of the annotations, for messages.

    Raises:
        DataError: The annotations are of images of another size.
    """
    known = np.all(decoded > 0, axis=1)
    wrong = np.flatnonzero(known & (stated > 0).all(axis=1) & (decoded != stated).any(axis=1))
    if len(wrong):
        first = int(wrong[0])
        (height, width), (stated_height, stated_width) = decoded[first].tolist(), stated[first].tolist()
        exchanged = (stated_width, stated_height) == (height, width)
        raise DataError(
            f"Invalid sizes in {where}: {len(wrong)} of {len(names)} images have another size, e.g. "
            f"{names[first]!r:.80}: received {stated_width} x {stated_height} (width x height), expected "
            f"{width} x {height} as it is decoded{', upright by its EXIF orientation' if exchanged else ''}. Annotate "
            "the images as they are shown, or give those that were annotated."
        )
    return np.where(known[:, None], decoded, np.maximum(stated, 0))


def _sizes(size: Callable, images: Sequence) -> np.ndarray:
    with ThreadPoolExecutor(cores()) as threads:
        return np.array(list(threads.map(size, images)), np.int64).reshape(-1, 2)


def _header_size(file: Path | io.BytesIO) -> tuple[int, int] | None:
    """Returns height and width by the header alone; None: another reader is needed."""
    try:
        with Image.open(file) as image:
            if image.format in _NOT_BY_PILLOW:
                return None
            width, height = image.size
            return (width, height) if image.getexif().get(_ORIENTATION, 1) in _TURNED else (height, width)
    # Damaged files and EXIF data are met with errors of many kinds.
    except Exception:
        return None


def _whole_size(encoded: bytes) -> tuple[int, int]:
    try:
        height, width = read_stored(encoded).pixels.shape[:2]
    except ValueError:
        return 0, 0
    return height, width
