"""Boxes and masks for detection: anchors, matching, suppression, RoIAlign, mask targets; scores of VOC and COCO."""

from barlowtf.detection.anchors import cell_anchors, map_anchors
from barlowtf.detection.boxes import CLASS_WEIGHTS, LARGEST_GROWTH, PROPOSAL_WEIGHTS, area, clip, decode, encode, iou
from barlowtf.detection.masks import THRESHOLD, crop_masks, crop_soft_masks, paste_masks, paste_soft_masks
from barlowtf.detection.matching import IGNORED, NEGATIVE, POSITIVE, Matches, match, match_each_truth
from barlowtf.detection.roi_align import roi_align, roi_align_adaptive
from barlowtf.detection.sampling import Sample, sample
from barlowtf.detection.suppression import Kept, suppress, suppress_by_class

__all__ = [
    "CLASS_WEIGHTS",
    "IGNORED",
    "Kept",
    "LARGEST_GROWTH",
    "Matches",
    "NEGATIVE",
    "POSITIVE",
    "PROPOSAL_WEIGHTS",
    "Sample",
    "THRESHOLD",
    "area",
    "cell_anchors",
    "clip",
    "crop_masks",
    "crop_soft_masks",
    "decode",
    "encode",
    "iou",
    "map_anchors",
    "match",
    "match_each_truth",
    "paste_masks",
    "paste_soft_masks",
    "roi_align",
    "roi_align_adaptive",
    "sample",
    "suppress",
    "suppress_by_class",
]
