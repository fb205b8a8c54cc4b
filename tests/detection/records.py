"""The recorded numbers of detection, and boxes to draw by chance."""

import numpy as np


def recorded(golden, part):
    """The arrays under `part/`, without the prefix."""
    with np.load(golden / "detection.npz") as record:
        return {key.removeprefix(f"{part}/"): record[key] for key in record.files if key.startswith(f"{part}/")}


def bits(packed, shape):
    return np.unpackbits(packed)[: int(np.prod(shape))].reshape(shape).astype(bool)


def random_boxes(r, *shape, extent=100.0):
    """Boxes of all sizes within a square, float32."""
    corners = np.sort(r.uniform(0, extent, (*shape, 2, 2)), axis=-2)
    return np.float32(corners.reshape(*shape, 4))


def iou_by_hand(a, b):
    """Intersection over union of two boxes, float."""
    a, b = np.float64(a), np.float64(b)
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
