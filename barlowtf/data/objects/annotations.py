"""Images with the boxes and masks of their objects."""

import functools
import hashlib
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from barlowtf.data.part import PartOfSource
from barlowtf.data.source import Source
from barlowtf.detection import RunLengths

# x, y, x, y, ... in pixels, each float64 [2k], k >= 3.
Polygons = tuple[np.ndarray, ...]
Mask = RunLengths | Polygons


@dataclass(frozen=True)
class ObjectsOfImage:
    """The objects of one image; each entry has one place for each of n objects.

    Attributes:
        boxes: float32 [n, 4] = x1, y1, x2, y2 in continuous pixels from 0, inside the image, x1 < x2 and y1 < y2.
        labels: int64 [n], 0 <= label < K.
        difficult: bool [n], VOC's mark: hard to recognize; a test does not count it.
        crowd: bool [n], COCO's mark: several objects in one; training leaves it out, a test does not count it.
        areas: float64 [n] in square pixels, by which COCO calls an object small or large: the `area` of its files,
            which is the mask's, else the box's.
        masks: Polygons or run lengths of each object, as its file has them; None: the set has no masks.
    """

    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray
    areas: np.ndarray
    masks: tuple[Mask, ...] | None


@dataclass(frozen=True)
class DroppedObject:
    """An object that was left out.

    Attributes:
        image_id: Of its image.
        class_name: Of its class.
        box: x1, y1, x2, y2 in continuous pixels from 0, before it was cut to the image.
        reason: Why; one of a few texts.
    """

    image_id: str | int
    class_name: str
    box: tuple[float, float, float, float]
    reason: str


@dataclass(frozen=True)
class ObjectSet:
    """Images and the objects in each of them.

    Attributes:
        source: The N images; `source.has_labels` is False, because a label there is one class per image.
        objects: Those of each image, N entries; an image may have none.
        sizes: int64 [N, 2], height and width in pixels as decoded; of an image that cannot be read what its annotation
            says, else 0.
        class_names: The K classes.
        image_ids: COCO's id or VOC's name of each image.
        category_ids: COCO's id of each class; elsewhere 1 to K.
        dropped: The objects that were left out.
        has_masks: Whether the objects have masks.
        clipped: Number of boxes that reached beyond their image and were cut to it.
    """

    source: Source
    objects: tuple[ObjectsOfImage, ...]
    sizes: np.ndarray
    class_names: tuple[str, ...]
    image_ids: tuple[str | int, ...]
    category_ids: tuple[int, ...]
    dropped: tuple[DroppedObject, ...]
    has_masks: bool
    clipped: int = 0

    def __post_init__(self) -> None:
        """Checks that the parts agree.

        Raises:
            ValueError: They do not.
        """
        counts = (len(self.objects), len(self.sizes), len(self.image_ids))
        if set(counts) != {self.source.size} or len(self.class_names) != len(self.category_ids):
            raise ValueError(
                f"Invalid objects: received {counts} entries and {len(self.category_ids)} category ids, expected "
                f"{self.source.size} images and {len(self.class_names)} classes."
            )

    @property
    def size(self) -> int:
        """Number of images, N."""
        return self.source.size

    @property
    def object_count(self) -> int:
        """Number of objects of all images."""
        return sum(len(objects.labels) for objects in self.objects)

    @property
    def dropped_by_reason(self) -> dict[str, int]:
        """Reason -> number of objects that were left out, most first."""
        return dict(Counter(one.reason for one in self.dropped).most_common())

    @functools.cached_property
    def fingerprint(self) -> str:
        """sha256, 64 hexadecimal digits, over images, sizes, objects and classes."""
        digest = hashlib.sha256(self.source.fingerprint.encode())
        digest.update("\0".join(self.class_names).encode("utf-8", "surrogatepass"))
        digest.update(repr((self.category_ids, self.image_ids)).encode())
        digest.update(np.ascontiguousarray(self.sizes).tobytes())
        for objects in self.objects:
            digest.update(b"%d " % len(objects.labels))
            for values in (objects.boxes, objects.labels, objects.difficult, objects.crowd, objects.areas):
                digest.update(np.ascontiguousarray(values).tobytes())
            for mask in objects.masks or ():
                digest.update(_bytes_of(mask))
        return digest.hexdigest()

    def part(self, ids: np.ndarray) -> "ObjectSet":
        """Returns some of the images.

        Args:
            ids: Their numbers, integer [m], m >= 1.
        """
        return replace(
            self,
            source=PartOfSource(self.source, ids),
            objects=tuple(self.objects[number] for number in ids),
            sizes=self.sizes[ids],
            image_ids=tuple(self.image_ids[number] for number in ids),
        )


def _bytes_of(mask: Mask) -> bytes:
    if isinstance(mask, RunLengths):
        return b"%d %d runs " % (mask.height, mask.width) + mask.counts.tobytes()
    return b"".join(b"%d " % len(polygon) + polygon.tobytes() for polygon in mask)
