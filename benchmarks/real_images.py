"""Real images that are always at hand, from scikit-learn's wheel, as the inputs of a signature of a SavedModel."""

import io
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_digits

from barlowtf.errors import DataError
from benchmarks.array_files import object_array

# Must give a row of zeros, not an error; the last: a JPEG that breaks off.
_BAD = (b"", b"no image", b"\xff\xd8\xff\xe0 no image")
_SUFFIXES = {".jpg", ".jpeg", ".png"}


def image_files(folder: Path | None = None) -> list[tuple[str, bytes]]:
    """Returns (group, file content) of encoded images; images of one group have one size.

    Groups: photographs (2 JPEG of 640×427), digits (64 PNG of 8×8), patches (80 JPEG of 64×64, cut from the
    photographs). With a folder, the JPEG and PNG files below it, by their size.

    Raises:
        DataError: The folder holds no image.
    """
    if folder is not None:
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
        if not paths:
            raise DataError(f"Received {folder}, which holds no image. Expected .jpg or .png files below it.")
        files = [path.read_bytes() for path in paths]
        return [("{}×{}".format(*decoded(file).shape[1::-1]), file) for file in files]
    images = resources.files("sklearn.datasets") / "images"
    files = [("photographs", (images / name).read_bytes()) for name in ("china.jpg", "flower.jpg")]
    patches = [
        decoded(file)[top : top + 64, left : left + 64]
        for _, file in files
        for top in range(0, 320, 64)
        for left in range(0, 512, 64)
    ]
    digits = np.round(load_digits().images[:64] * (255 / 16)).astype(np.uint8)
    files += [("digits", _encoded(digit, "PNG")) for digit in digits]
    return files + [("patches", _encoded(patch, "JPEG")) for patch in patches]


def signature_inputs(files: list[tuple[str, bytes]], spec: tf.TensorSpec) -> Iterator[tuple[str, np.ndarray]]:
    """Yields (group, batch of at most 64) for the one input of a signature.

    Args:
        files: See `image_files`.
        spec: Of the input. string [N]: the files as they are, and as a group of its own bytes that are no image;
            uint8 [N, H, W, 3]: the pixels; float32 [N, H, W, 3]: the pixels in [0, 1], resized to H × W where these
            are fixed.

    Raises:
        DataError: The input is of another kind.
    """
    groups: dict[str, list[bytes]] = {}
    for group, file in files:
        groups.setdefault(group, []).append(file)
    if spec.dtype == tf.string:
        groups["bad bytes"] = [*_BAD, files[0][1][: len(files[0][1]) // 2], files[0][1]]
        for group, contents in _batches(groups):
            yield group, object_array(contents, (len(contents),))
    elif spec.dtype in (tf.uint8, tf.float32) and spec.shape.rank == 4 and spec.shape[3] in (3, None):
        _, height, width, _ = spec.shape
        size = None if height is None or width is None else (width, height)
        for group, contents in _batches(groups):
            batch = np.stack([decoded(content, size) for content in contents])
            yield group, batch if spec.dtype == tf.uint8 else batch.astype(np.float32) / np.float32(255)
    else:
        raise DataError(f"Received an input of kind {spec}. Expected images or encoded images.")


def _batches(groups: dict[str, list[bytes]]) -> Iterator[tuple[str, list[bytes]]]:
    for group, contents in groups.items():
        for start in range(0, len(contents), 64):
            yield group, contents[start : start + 64]


def decoded(file: bytes, size: tuple[int, int] | None = None) -> np.ndarray:
    """Returns the pixels of a file, uint8 [H, W, 3], resized to size = (width, height) where given."""
    with Image.open(io.BytesIO(file)) as image:
        color = image.convert("RGB")
    return np.asarray(color if size is None else color.resize(size))


def _encoded(pixels: np.ndarray, kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()
