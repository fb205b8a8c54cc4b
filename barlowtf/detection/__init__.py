"""Boxes and masks for detection: anchors, matching, suppression, RoIAlign, mask targets; scores of VOC and COCO."""

from barlowtf.detection.anchors import cell_anchors, map_anchors
from barlowtf.detection.boxes import CLASS_WEIGHTS, LARGEST_GROWTH, PROPOSAL_WEIGHTS, area, clip, decode, encode, iou
from barlowtf.detection.coco import COCOScores, coco_box_scores, coco_mask_scores
from barlowtf.detection.instances import Detections, Truths
from barlowtf.detection.masks import THRESHOLD, crop_masks, crop_soft_masks, paste_masks, paste_soft_masks
from barlowtf.detection.matching import IGNORED, NEGATIVE, POSITIVE, Matches, match, match_each_truth
from barlowtf.detection.polygons import polygons_to_bits, polygons_within_box
from barlowtf.detection.roi_align import roi_align, roi_align_adaptive
from barlowtf.detection.run_lengths import RunLengths, compress_runs, decode_runs, decompress_runs, encode_runs
from barlowtf.detection.sampling import Sample, sample
from barlowtf.detection.segmentations import mask_of_coco
from barlowtf.detection.suppression import Kept, suppress, suppress_by_class
from barlowtf.detection.voc import Curve, VOCScores, area_under, boxes_of_voc, eleven_points, voc_curve, voc_scores

__all__ = [
    "CLASS_WEIGHTS",
    "COCOScores",
    "Curve",
    "Detections",
    "IGNORED",
    "Kept",
    "LARGEST_GROWTH",
    "Matches",
    "NEGATIVE",
    "POSITIVE",
    "PROPOSAL_WEIGHTS",
    "RunLengths",
    "Sample",
    "THRESHOLD",
    "Truths",
    "VOCScores",
    "area",
    "area_under",
    "boxes_of_voc",
    "cell_anchors",
    "clip",
    "coco_box_scores",
    "coco_mask_scores",
    "compress_runs",
    "crop_masks",
    "crop_soft_masks",
    "decode",
    "decode_runs",
    "decompress_runs",
    "eleven_points",
    "encode",
    "encode_runs",
    "iou",
    "map_anchors",
    "mask_of_coco",
    "match",
    "match_each_truth",
    "paste_masks",
    "paste_soft_masks",
    "polygons_to_bits",
    "polygons_within_box",
    "roi_align",
    "roi_align_adaptive",
    "sample",
    "suppress",
    "suppress_by_class",
    "voc_curve",
    "voc_scores",
]
