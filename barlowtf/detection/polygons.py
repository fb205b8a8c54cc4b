"""Polygons as bits, pixel for pixel as COCO counts them. NumPy only.

COCO's rule has no closed form: the outline is drawn on a grid five times as fine, and each crossing from one column of
pixels to the next begins or ends a run of the column.
"""

from collections.abc import Sequence

import numpy as np

_FINE = 5
# The memory that an outline takes grows with its length.
_FARTHEST = 1e7


def polygons_to_bits(polygons: Sequence[np.ndarray], *, height: int, width: int) -> np.ndarray:
    """Returns the pixels that lie in any of the polygons of one object.

    Args:
        polygons: x, y, x, y, ... in pixels, each float [2k], k >= 3.
        height: Height H of the image in pixels.
        width: Width W of the image in pixels.

    Returns:
        bool [H, W].

    Raises:
        ValueError: A polygon does not have three pairs of coordinates, or lies beyond 1e7 pixels.

    Source: cocodataset/cocoapi common/maskApi.c, rleFrPoly.
    """
    bits = np.zeros((height, width), bool)
    for polygon in polygons:
        bits |= _bits(np.asarray(polygon, np.float64), height, width)
    return bits


def polygons_within_box(polygons: Sequence[np.ndarray], box: np.ndarray, *, size: int) -> np.ndarray:
    """Returns the target of a mask head of an object that is given by polygons.

    Args:
        polygons: x, y, x, y, ... in pixels of the image, each float [2k], k >= 3.
        box: float [4] = x1, y1, x2, y2 in pixels of the image.
        size: Rows and columns s of the result, >= 1.

    Returns:
        bool [s, s]: the polygons shifted and scaled to the box, drawn anew.

    Raises:
        ValueError: A polygon does not have three pairs of coordinates, or lies beyond 1e7 pixels.

    Source: facebookresearch/detectron2 structures/masks.py, rasterize_polygons_within_box.
    """
    left, top, right, bottom = (float(edge) for edge in box)
    shift = np.array([left, top])
    # 0.1: the least extent of a box in pixels.
    factor = size / np.maximum([right - left, bottom - top], 0.1)
    moved = [((_pairs(np.asarray(polygon, np.float64)) - shift) * factor).ravel() for polygon in polygons]
    return polygons_to_bits(moved, height=size, width=size)


def _pairs(polygon: np.ndarray) -> np.ndarray:
    fits = polygon.ndim == 1 and len(polygon) % 2 == 0 and len(polygon) >= 6
    if not fits or not (np.abs(polygon) <= _FARTHEST).all():
        raise ValueError(
            f"Invalid polygon: received shape {polygon.shape}, expected x, y, x, y, ... of three points or more, "
            f"finite and at most {_FARTHEST:.0f} pixels from 0."
        )
    return polygon.reshape(-1, 2)


def _bits(polygon: np.ndarray, height: int, width: int) -> np.ndarray:
    points = np.trunc(_FINE * _pairs(polygon) + 0.5).astype(np.int64)
    x, y = np.concatenate([_line(*ends) for ends in zip(points, np.roll(points, -1, axis=0), strict=True)]).T
    crossing = x[1:] != x[:-1]
    before, after = x[:-1][crossing], x[1:][crossing]
    column = (np.where(after < before, after, after - 1) + 0.5) / _FINE - 0.5
    row = (np.minimum(y[:-1], y[1:])[crossing] + 0.5) / _FINE - 0.5
    here = (np.floor(column) == column) & (column >= 0) & (column <= width - 1)
    row = np.ceil(np.clip(row[here], 0, height)).astype(np.int64)
    # Down one column after the other, each crossing turns outside to inside or back.
    turns = np.bincount(column[here].astype(np.int64) * height + row, minlength=height * width)[: height * width]
    return (np.cumsum(turns) % 2).astype(bool).reshape(width, height).T


def _line(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Returns the points of the fine grid from one corner to the next, both included, int64 [m, 2]."""
    extent = np.abs(end - start)
    along = 0 if extent[0] >= extent[1] else 1  # the longer axis
    length = int(extent[along])
    if not length:
        return start[None]
    # From the smaller coordinate to the larger one, whichever comes first: rounding depends on it.
    turned = start[along] > end[along]
    low, high = (end, start) if turned else (start, end)
    step = np.arange(length + 1)
    slope = (high[1 - along] - low[1 - along]) / length
    line = np.empty((length + 1, 2), np.int64)
    line[:, along] = low[along] + step
    line[:, 1 - along] = np.trunc(low[1 - along] + slope * step + 0.5).astype(np.int64)
    return line[::-1] if turned else line
