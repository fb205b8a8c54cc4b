"""Images with the boxes and masks of their objects, for detection and instance segmentation."""

from barlowtf.data.objects.annotations import DroppedObject, Mask, ObjectSet, ObjectsOfImage, Polygons
from barlowtf.data.objects.opening import open_objects

__all__ = ["DroppedObject", "Mask", "ObjectSet", "ObjectsOfImage", "Polygons", "open_objects"]
