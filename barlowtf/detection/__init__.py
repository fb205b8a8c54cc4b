"""Boxes and masks for detection: anchors, matching, suppression, RoIAlign, mask targets; scores of VOC and COCO."""

from barlowtf.detection.anchors import cell_anchors, map_anchors
from barlowtf.detection.boxes import CLASS_WEIGHTS, LARGEST_GROWTH, PROPOSAL_WEIGHTS, area, clip, decode, encode, iou

__all__ = [
    "CLASS_WEIGHTS",
    "LARGEST_GROWTH",
    "PROPOSAL_WEIGHTS",
    "area",
    "cell_anchors",
    "clip",
    "decode",
    "encode",
    "iou",
    "map_anchors",
]
