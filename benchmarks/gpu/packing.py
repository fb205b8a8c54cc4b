"""Packs the encoded images of both splits into one file, data.npz, with what tracing needs to know in data.json."""

import json
from pathlib import Path

import numpy as np

from benchmarks.gpu import library


def pack(spec: str, folder: Path, *, limit: int | None = None) -> None:
    """Writes data.npz and data.json.

    Args:
        spec: Data of the library: a folder with train and test, for example.
        folder: It is made where it is missing.
        limit: Images of each split, evenly spread over it; None: all.

    Raises:
        ValueError: There is no test split, or an image is not square or not of the size of the others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arrays, facts = {}, {}
    sizes: set[tuple[int, ...]] = set()
    for split in ("train", "test"):
        encoded, labels, shapes = library.encoded_images(spec, split, limit)
        sizes |= shapes
        arrays[f"{split}_bytes"] = np.frombuffer(b"".join(encoded), np.uint8)
        arrays[f"{split}_ends"] = np.cumsum([len(content) for content in encoded])
        arrays[f"{split}_labels"] = labels.astype(np.uint8)
        facts[split] = len(encoded)
    if len(sizes) != 1 or len({*next(iter(sizes))[:2]}) != 1:
        raise ValueError(f"Invalid images: received sizes {sorted(sizes)[:5]}, expected squares of one size.")
    facts["image_size"] = next(iter(sizes))[0]
    np.savez(folder / "data.npz", **arrays)
    (folder / "data.json").write_text(json.dumps(facts), encoding="utf-8")
