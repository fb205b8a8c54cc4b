"""Records of the objects in images, true and detected, that the measures compare. NumPy only."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from barlowtf.detection.run_lengths import RunLengths


@dataclass(frozen=True)
class Truths:
    """The objects of a test set; each list has one entry for each of n objects.

    Attributes:
        image: Number of the image, integer [n].
        category: Number of the class, integer [n].
        boxes: float [n, 4] = x1, y1, x2, y2 in continuous pixels from 0.
        difficult: VOC's mark: the object counts neither way; bool [n], by default none.
        crowd: COCO's mark: the box or mask covers several objects and counts neither way; bool [n], by default none.
        areas: By which COCO calls an object small, medium or large, in square pixels; float [n]. COCO's files hold the
            areas of the masks; the default is the area of what is compared, box or mask.
        masks: The masks, n of them; by default none, for measures of boxes alone.

    Raises:
        ValueError: Shapes do not fit, or a number is not finite.
    """

    image: np.ndarray
    category: np.ndarray
    boxes: np.ndarray
    difficult: np.ndarray | None = None
    crowd: np.ndarray | None = None
    areas: np.ndarray | None = None
    masks: Sequence[RunLengths] | None = None

    def __post_init__(self) -> None:
        """Checks the shapes."""
        _check(self, ("image", "category", "difficult", "crowd", "areas", "masks"))


@dataclass(frozen=True)
class Detections:
    """What a detector found; each list has one entry for each of m detections.

    Attributes:
        image: Number of the image, integer [m].
        category: Number of the class, integer [m].
        boxes: float [m, 4] = x1, y1, x2, y2 in continuous pixels from 0.
        scores: Higher means more certain; float [m].
        masks: The masks, m of them; by default none, for measures of boxes alone.

    Raises:
        ValueError: Shapes do not fit, or a number is not finite.
    """

    image: np.ndarray
    category: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    masks: Sequence[RunLengths] | None = None

    def __post_init__(self) -> None:
        """Checks the shapes."""
        _check(self, ("image", "category", "scores", "masks"))


def _check(records: Truths | Detections, names: tuple[str, ...]) -> None:
    count = len(records.image)
    if np.shape(records.boxes) != (count, 4):
        raise ValueError(f"Invalid boxes: received shape {np.shape(records.boxes)}, expected ({count}, 4).")
    for name in names:
        values = getattr(records, name)
        if values is not None and len(values) != count:
            raise ValueError(
                f"Invalid {name}: received {len(values)} entries, expected one for each of {count} objects."
            )
    for name in ("boxes", "scores", "areas"):
        values = getattr(records, name, None)
        if values is not None and not np.isfinite(values).all():
            raise ValueError(f"Invalid {name}: received numbers that are not finite, expected finite ones.")
