"""Masks as the annotations of a COCO file hold them. NumPy only."""

from typing import Any

import numpy as np

from barlowtf.detection.polygons import polygons_to_bits
from barlowtf.detection.run_lengths import RunLengths, check_runs, decompress_runs, encode_runs


def mask_of_coco(segmentation: Any, *, height: int, width: int) -> RunLengths:
    """Returns the mask of an annotation of a COCO file.

    Args:
        segmentation: Polygons `[[x, y, ...], ...]`, or run lengths `{"size": [H, W], "counts": ...}`, plain or
            compressed.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Raises:
        ValueError: It is neither, or does not fit the image.
    """
    if isinstance(segmentation, list):
        polygons = [np.asarray(polygon, np.float64) for polygon in segmentation]
        return encode_runs(polygons_to_bits(polygons, height=height, width=width))
    if isinstance(segmentation, dict) and segmentation.get("size") == [height, width]:
        counts = segmentation.get("counts")
        if isinstance(counts, (str, bytes)):
            text = counts.decode("latin-1") if isinstance(counts, bytes) else counts
            return decompress_runs(text, height=height, width=width)
        if isinstance(counts, list) and all(isinstance(count, int) for count in counts):
            runs = RunLengths(height, width, np.array(counts, np.int64))
            check_runs(runs)
            return runs
    raise ValueError(
        f"Invalid segmentation: received {str(segmentation)[:60]}, expected polygons or run lengths of "
        f"{height} x {width} pixels."
    )
