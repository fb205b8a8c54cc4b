"""Data sets, the order of their examples, and batches of crops."""

from barlowtf.data.arrays import ArraySource, preload
from barlowtf.data.crop_batches import CropBatches
from barlowtf.data.images import decode, unreadable_reason
from barlowtf.data.labeled_batches import Labeled, labeled, labeled_batches, readable_part, steps_per_pass
from barlowtf.data.multi_label import MultiLabelSet
from barlowtf.data.multi_label_opening import open_multi_label
from barlowtf.data.opening import open_source
from barlowtf.data.order import step_ids, steps_per_epoch
from barlowtf.data.pipeline import Crop, CropBatch, Draw, center_view, center_views, readable_ids, two_crop_batches
from barlowtf.data.source import Source
from barlowtf.data.subsets import balanced_ids, listed_ids, require_classes, spread_ids
from barlowtf.data.tfrecord import write_tfrecords

__all__ = [
    "ArraySource",
    "Crop",
    "CropBatch",
    "CropBatches",
    "Draw",
    "Labeled",
    "MultiLabelSet",
    "Source",
    "balanced_ids",
    "center_view",
    "center_views",
    "decode",
    "open_multi_label",
    "labeled",
    "labeled_batches",
    "listed_ids",
    "open_source",
    "preload",
    "readable_ids",
    "readable_part",
    "require_classes",
    "spread_ids",
    "step_ids",
    "steps_per_epoch",
    "steps_per_pass",
    "two_crop_batches",
    "unreadable_reason",
    "write_tfrecords",
]
