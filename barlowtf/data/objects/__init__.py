"""Images with the boxes and masks of their objects, for detection and instance segmentation."""

from barlowtf.data.objects.annotations import DroppedObject, Mask, ObjectSet, ObjectsOfImage, Polygons
from barlowtf.data.objects.batches import ObjectPlan, mask_within_box, object_batches, padded_image
from barlowtf.data.objects.opening import has_objects, open_objects

__all__ = [
    "DroppedObject",
    "Mask",
    "ObjectPlan",
    "ObjectSet",
    "ObjectsOfImage",
    "Polygons",
    "has_objects",
    "mask_within_box",
    "object_batches",
    "open_objects",
    "padded_image",
]
