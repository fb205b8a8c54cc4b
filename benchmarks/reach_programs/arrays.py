"""What the programs read and write; see __init__.py."""

import sys
from collections.abc import Callable

import numpy as np


def main(outputs_of: Callable[..., dict[str, np.ndarray]], version: str) -> None:
    """Writes what a program makes of a file and of views, float32 [N, S, S, 3] in [0, 1]."""
    path, source, target, *words = sys.argv[1:]
    with np.load(source) as arrays:
        views, mean, std = arrays["views"].astype(np.float32) / 255.0, arrays["mean"], arrays["std"]
    outputs = outputs_of(path, views, mean, std, *words)
    np.savez(target, version=version, **outputs)


def in_batches(
    run: Callable[[np.ndarray], dict[str, np.ndarray]], images: np.ndarray, size: int = 50
) -> dict[str, np.ndarray]:
    """Returns the outputs of all images, some at a time."""
    parts = [run(images[start : start + size]) for start in range(0, len(images), size)]
    return {name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in parts[0]}


def normalized_nchw(views: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Returns what PyTorch's programs take, float32 [N, 3, S, S]."""
    return np.ascontiguousarray(((views - mean) / std).transpose(0, 3, 1, 2), np.float32)
