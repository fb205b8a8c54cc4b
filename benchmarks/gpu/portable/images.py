"""Reads data.npz: the encoded images of both splits in one file, with their labels."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .errors import MachineError


class Split(NamedTuple):
    """Images of one split, in the library's order."""

    images: np.ndarray  # uint8 [M, H, W, 3]
    labels: np.ndarray  # int64 [M]


def read_split(folder: Path, name: str, *, workers: int) -> Split:
    """Returns the decoded images of a split.

    Args:
        folder: Of data.npz.
        name: "train" or "test".
        workers: Threads that decode.

    Raises:
        MachineError: Pillow or the file is missing, or the images differ in size.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MachineError("Pillow is missing. Install it: pip install pillow.") from error
    file = folder / "data.npz"
    if not file.exists():
        raise MachineError(f"No {file}. Trace the training run with --images FOLDER.")

    with np.load(file) as held:
        encoded, ends, labels = (held[f"{name}_{part}"] for part in ("bytes", "ends", "labels"))
    starts = np.concatenate([[0], ends[:-1]])

    def decode(bounds: tuple[int, int]) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(encoded[slice(*bounds)].tobytes())).convert("RGB"))

    # Pillow decodes without Python's lock.
    with ThreadPoolExecutor(workers) as pool:
        images = list(pool.map(decode, zip(starts, ends, strict=True), chunksize=64))
    if len({image.shape for image in images}) != 1:
        raise MachineError(f"Invalid {file}: received images of several sizes, expected one.")
    return Split(np.stack(images), labels.astype(np.int64))
