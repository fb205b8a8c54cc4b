"""The masks of a COCO file: polygons stay polygons, and run lengths run lengths."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from barlowtf.data.objects.annotations import Mask
from barlowtf.data.objects.coco_file import COCOFile
from barlowtf.detection import RunLengths, mask_of_coco
from barlowtf.errors import DataError

_LOG = logging.getLogger("barlowtf")
# Beyond it no polygon is drawn, pixels.
_FARTHEST = 1e7


def coco_masks(file: COCOFile, sizes: np.ndarray, path: Path) -> list[Mask | None] | None:
    """Returns the mask of each object, None for one without; None where fewer than half of them have one.

    A polygon of fewer than three points is left out; an object without another has no mask.

    Args:
        file: The annotations.
        sizes: Height and width of the images, int64 [N, 2]; 0: unknown.
        path: The file, for messages.

    Raises:
        DataError: A mask is neither polygons nor run lengths, or is of another size than its image.
    """
    masks: list[Mask | None] = []
    for place, (segmentation, image) in enumerate(zip(file.segmentations, file.image.tolist(), strict=True)):
        height, width = sizes[image].tolist()
        try:
            masks.append(_mask(segmentation, height, width))
        except ValueError as error:
            raise DataError(
                f"Invalid segmentation of annotations[{place}] in {path}, image {file.file_names[image]!r:.80}: "
                f"{str(error)[:200]} Correct the file."
            ) from error
    lacking = sum(mask is None for mask in masks)
    if 2 * lacking > len(masks) and lacking < len(masks):
        _LOG.warning("%d of %d objects in %s have no mask: none is taken.", lacking, len(masks), path)
    return None if 2 * lacking > len(masks) or not masks else masks


def _mask(segmentation: Any, height: int, width: int) -> Mask | None:
    if segmentation is None:
        return None
    if isinstance(segmentation, list):
        return tuple(polygon for part in segmentation if (polygon := _polygon(part)) is not None) or None
    if not isinstance(segmentation, dict):
        raise ValueError(f"received {repr(segmentation)[:40]}, expected polygons or run lengths.")
    if not height:
        # The image cannot be read and has no stated size: its objects are left out.
        return None
    size, counts, most = segmentation.get("size"), segmentation.get("counts"), height * width
    if size != [height, width]:
        raise ValueError(f"received run lengths of size {repr(size)[:40]}, expected {[height, width]} as the image.")
    if isinstance(counts, list) and not all(type(count) is int and 0 <= count <= most for count in counts):
        raise ValueError(f"received counts {repr(counts)[:40]}, expected numbers of pixels.")
    runs: RunLengths = mask_of_coco(segmentation, height=height, width=width)
    return runs


def _polygon(part: Any) -> np.ndarray | None:
    """Returns a polygon, float64 [2k]; None: it is none that can be drawn."""
    # Without a type: texts would be read as numbers.
    points = np.array(part) if isinstance(part, list) and not any(isinstance(value, list) for value in part) else None
    if points is None or (points.size and points.dtype.kind not in "iuf"):
        raise ValueError(f"received polygon {repr(part)[:40]}, expected [x, y, x, y, ...] in pixels.")
    points = points.astype(np.float64)
    return points if len(points) >= 6 and len(points) % 2 == 0 and (np.abs(points) <= _FARTHEST).all() else None
