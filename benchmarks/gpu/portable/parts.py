"""Arrays in files of a limited size: many ways of moving files do not take large ones."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


def write_parts(folder: Path, name: str, arrays: Sequence[np.ndarray], part_bytes: int) -> dict[str, Any]:
    """Writes arrays, float32, one after the other, cut into parts NAME.00, NAME.01, ...

    Returns:
        What `read_parts` needs: shapes of the arrays, and name, size and sha256 of each part.
    """
    whole = b"".join(np.ascontiguousarray(array, "<f4").tobytes() for array in arrays)
    parts = []
    for number, start in enumerate(range(0, len(whole), part_bytes)):
        content = whole[start : start + part_bytes]
        file = f"{name}.{number:02d}"
        (folder / file).write_bytes(content)
        parts.append({"file": file, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})
    return {"shapes": [list(array.shape) for array in arrays], "parts": parts}


def read_parts(folder: Path, held: dict[str, Any]) -> list[np.ndarray]:
    """Returns the arrays of `write_parts`.

    Raises:
        ValueError: A part is damaged.
        FileNotFoundError: A part is missing.
    """
    contents = []
    for part in held["parts"]:
        content = (folder / part["file"]).read_bytes()
        if hashlib.sha256(content).hexdigest() != part["sha256"]:
            raise ValueError(f"Invalid {folder / part['file']}: its sha256 differs from results.json. Copy it anew.")
        contents.append(content)
    flat = np.frombuffer(b"".join(contents), "<f4")
    ends = np.cumsum([int(np.prod(shape)) for shape in held["shapes"]])
    pieces = np.split(flat, ends[:-1])
    return [piece.reshape(shape) for piece, shape in zip(pieces, held["shapes"], strict=True)]
