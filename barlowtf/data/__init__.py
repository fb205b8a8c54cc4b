"""Data sets, the order of their examples, and batches of crops."""

from barlowtf.data.alike_names import alike_names, explain_alike, note_on_alike_names
from barlowtf.data.arrays import ArraySource, preload
from barlowtf.data.both_splits import (
    are_same_images,
    count_images_in_both,
    notes_on_both,
    require_equal_classes,
    require_other_images,
)
from barlowtf.data.census import THUMBNAIL_SIDE, Census, take_census
from barlowtf.data.center_views import center_view, center_views, readable_ids, readable_views, short_side
from barlowtf.data.classes import NO_LABEL, without_gaps
from barlowtf.data.content import whole_content
from barlowtf.data.duplicates import Group, equal_groups, near_groups, thumbnail_vectors, whitened
from barlowtf.data.images import decode, decode_in_graph, reason_of, unreadable_reason
from barlowtf.data.kind import SourceKind
from barlowtf.data.labeled import Labeled, labeled, readable_part
from barlowtf.data.labeled_batches import labeled_batches
from barlowtf.data.multi_label import MultiLabelSet
from barlowtf.data.objects import ObjectSet, ObjectsOfImage, has_objects, open_objects
from barlowtf.data.opening import open_multi_label, open_source, require_trusted_data
from barlowtf.data.order import pass_ids, permutation, sample_ids, step_ids, steps_per_epoch, steps_per_pass
from barlowtf.data.part import PartOfSource
from barlowtf.data.plan import BatchPlan, LocalPlan, Share
from barlowtf.data.rendering import EIGHT_BITS, Rendering, rendering_of
from barlowtf.data.sameness import find_sameness
from barlowtf.data.sample import SampleFacts, facts_of, sample_facts, stored_image
from barlowtf.data.skipped import MAX_UNREADABLE, SKIPPED_FILE, SkippedImages
from barlowtf.data.source import Source
from barlowtf.data.subsets import balanced_ids, held_out_ids, listed_ids, require_classes
from barlowtf.data.tfrecord import write_tfrecords
from barlowtf.data.training_batches import TrainingBatches
from barlowtf.data.two_crop_batches import two_crop_batches
from barlowtf.tables import SOURCES

__all__ = [
    "EIGHT_BITS",
    "MAX_UNREADABLE",
    "NO_LABEL",
    "SKIPPED_FILE",
    "SOURCES",
    "THUMBNAIL_SIDE",
    "ArraySource",
    "BatchPlan",
    "Census",
    "Group",
    "Labeled",
    "MultiLabelSet",
    "ObjectSet",
    "ObjectsOfImage",
    "PartOfSource",
    "Rendering",
    "SampleFacts",
    "LocalPlan",
    "Share",
    "SkippedImages",
    "Source",
    "SourceKind",
    "TrainingBatches",
    "alike_names",
    "are_same_images",
    "balanced_ids",
    "count_images_in_both",
    "has_objects",
    "held_out_ids",
    "find_sameness",
    "center_view",
    "center_views",
    "decode",
    "decode_in_graph",
    "equal_groups",
    "explain_alike",
    "facts_of",
    "labeled",
    "labeled_batches",
    "listed_ids",
    "near_groups",
    "note_on_alike_names",
    "notes_on_both",
    "open_multi_label",
    "open_objects",
    "open_source",
    "require_trusted_data",
    "pass_ids",
    "permutation",
    "preload",
    "readable_ids",
    "readable_part",
    "readable_views",
    "reason_of",
    "rendering_of",
    "require_classes",
    "require_equal_classes",
    "require_other_images",
    "sample_facts",
    "sample_ids",
    "short_side",
    "step_ids",
    "steps_per_epoch",
    "steps_per_pass",
    "stored_image",
    "take_census",
    "thumbnail_vectors",
    "two_crop_batches",
    "unreadable_reason",
    "whitened",
    "whole_content",
    "write_tfrecords",
    "without_gaps",
]
