"""One rule for all sources: which objects are kept, and how boxes are cut to their image."""

import logging
from dataclasses import dataclass

import numpy as np

from barlowtf.data.objects.annotations import DroppedObject, Mask, ObjectSet, ObjectsOfImage
from barlowtf.data.source import Source

_LOG = logging.getLogger("barlowtf")
UNREADABLE = "its image cannot be read and its size is not stated"
NOT_FINITE = "its box is not finite"
NO_EXTENT = "its box has no width or no height"
OUTSIDE = "its box lies outside the image"
NO_MASK = "it has no mask"
# Rounding to float32 moves an edge by less, pixels.
_ROUNDING = 1e-3


@dataclass(frozen=True)
class MarkedObjects:
    """Objects as annotations have them, those of all images together; each entry has one place for each of n objects.

    Attributes:
        image: Number of the image, int64 [n].
        labels: int64 [n], 0 <= label < K.
        boxes: float64 [n, 4] = x1, y1, x2, y2 in continuous pixels from 0; any numbers.
        difficult: bool [n].
        crowd: bool [n].
        areas: float64 [n] in square pixels; NaN: not stated.
        masks: n entries, None for an object without; None: the set has no masks.
    """

    image: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray
    areas: np.ndarray
    masks: list[Mask | None] | None


def cleaned(
    source: Source,
    marked: MarkedObjects,
    *,
    sizes: np.ndarray,
    class_names: tuple[str, ...],
    image_ids: tuple[str | int, ...],
    category_ids: tuple[int, ...] | None = None,
) -> ObjectSet:
    """Returns the images with the objects that can be used; the log counts what was cut and left out.

    Boxes that are not finite, have no extent or lie outside their image are left out, as are objects without a mask
    where others have one; boxes that reach beyond the image are cut to it. Images without objects stay.

    Args:
        source: The images.
        marked: Their objects.
        sizes: int64 [N, 2], height and width; 0: unknown.
        class_names: The K classes.
        image_ids: Of each image.
        category_ids: Of each class; None: 1 to K.
    """
    limits = sizes[marked.image][:, [1, 0, 1, 0]].astype(np.float64)  # [n, 4] = width, height, width, height
    finite = np.isfinite(marked.boxes).all(axis=1)
    whole = np.where(finite[:, None], marked.boxes, 0.0)
    cut = np.clip(whole, 0.0, limits).astype(np.float32)
    has_mask = np.array([mask is not None for mask in marked.masks], bool) if marked.masks else True
    tests = (
        (UNREADABLE, limits[:, 0] > 0),
        (NOT_FINITE, finite),
        (NO_EXTENT, _has_extent(whole)),
        (OUTSIDE, _has_extent(cut)),
        (NO_MASK, has_mask),
    )
    keep, dropped = np.ones(len(whole), bool), []
    for reason, passed in tests:
        for number in np.flatnonzero(keep & ~np.broadcast_to(passed, keep.shape)).tolist():
            x1, y1, x2, y2 = marked.boxes[number].tolist()
            image_id, name = image_ids[marked.image[number]], class_names[marked.labels[number]]
            dropped.append(DroppedObject(image_id, name, (x1, y1, x2, y2), reason))
        keep &= passed
    clipped = int(np.count_nonzero(keep & (np.abs(cut - whole) > _ROUNDING).any(axis=1)))
    extents = cut[:, 2:].astype(np.float64) - cut[:, :2]
    areas = np.where(np.isnan(marked.areas), extents[:, 0] * extents[:, 1], marked.areas)
    # Stable: the objects of an image stay in their order.
    order = np.flatnonzero(keep)[np.argsort(marked.image[keep], kind="stable")]
    ends = np.searchsorted(marked.image[order], np.arange(1, source.size))
    found = ObjectSet(
        source=source,
        objects=tuple(_objects(marked, cut, areas, numbers) for numbers in np.split(order, ends)),
        sizes=sizes,
        class_names=class_names,
        image_ids=image_ids,
        category_ids=tuple(range(1, len(class_names) + 1)) if category_ids is None else category_ids,
        dropped=tuple(dropped),
        has_masks=marked.masks is not None,
        clipped=clipped,
    )
    _report(found, len(whole))
    return found


def _has_extent(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])


def _objects(marked: MarkedObjects, boxes: np.ndarray, areas: np.ndarray, numbers: np.ndarray) -> ObjectsOfImage:
    """Returns some of the objects."""
    masks = marked.masks
    return ObjectsOfImage(
        boxes=boxes[numbers],
        labels=marked.labels[numbers],
        difficult=marked.difficult[numbers],
        crowd=marked.crowd[numbers],
        areas=areas[numbers],
        masks=None if masks is None else tuple(mask for n in numbers.tolist() if (mask := masks[n]) is not None),
    )


def _report(found: ObjectSet, count: int) -> None:
    name = found.source.name
    if found.clipped:
        _LOG.info("%d of %d boxes of %s reach beyond their image: cut to it.", found.clipped, count, name)
    for reason, number in found.dropped_by_reason.items():
        first = next(one for one in found.dropped if one.reason == reason)
        _LOG.warning(
            "%d of %d objects of %s left out, e.g. a %s in image %s: %s.",
            number,
            count,
            name,
            first.class_name,
            first.image_id,
            reason,
        )
