"""What fits some data: protocols, their variant and seeds, where a request names none."""

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from barlowtf import data
from barlowtf.errors import DataError
from barlowtf.evaluation.object_splits import open_object_splits

_LOG = logging.getLogger("barlowtf")
# Share that is held out of data without a test split.
_HELD_OUT = 0.2
# Of fewer images one part of them says little: all parts are held out in turn.
_FEW_IMAGES = 2_000
# The published settings of `linear` and `semi` are ImageNet's: crops of 8 % of the area, and few epochs.
_SMALL_DATA = 10_000
# Below this even a crop of 40 % shows something else, pixels.
_TINY_SIDE = 12


class Plan(NamedTuple):
    """How to judge an encoder on some data.

    Attributes:
        protocols: Names of protocols that take minutes.
        held_out: Share of the images to hold out as test images; None: there are test images.
        seeds: One, or where images are held out of few as many as there are parts.
    """

    protocols: tuple[str, ...]
    held_out: float | None
    seeds: tuple[int, ...]


def plan_judgement(spec: str, held_out: float | None = None, seeds: tuple[int, ...] | None = None) -> Plan:
    """Returns how to judge an encoder on some data; what is given stays.

    Raises:
        DataError: The images have no labels, or cannot be read.
    """
    try:
        source = data.open_source(spec, "train")
    except DataError:
        data.open_multi_label(spec, "train")
        return Plan(("voc07",), held_out, seeds or (0,))
    if not source.has_labels and data.has_objects(spec):
        raise DataError(
            f"{spec} has boxes and no classes of whole images: a detector is fine-tuned on it, which takes longer. "
            "Add --protocol detection."
        )
    if not source.has_labels:
        raise DataError(
            f"{spec} has no labels, by which alone an encoder can be judged here: expected a folder for each class, or "
            "a table of files and labels (table:FILE). A few hundred labeled images are enough: --data SPEC. Without "
            "any, barlowtf report RUN shows what is alike to the encoder."
        )
    if held_out is None and data.open_source(spec, "test") is None:
        held_out = _HELD_OUT
    if seeds is None:
        parts = round(1 / held_out) if held_out is not None and source.size < _FEW_IMAGES else 1
        seeds = tuple(range(parts))
    if held_out is not None:
        times = "" if len(seeds) == 1 else f", {len(seeds)} times, each time others"
        _LOG.info("%s has no test split: %g %% of the images are held out%s.", spec, 100 * held_out, times)
    return Plan(("knn", "linear-fast"), held_out, seeds)


def fitting_variant(spec: str) -> str | None:
    """Returns the variant of protocols that have it; None: their first, the published settings.

    Raises:
        DataError: The images cannot be read.
    """
    if data.has_objects(spec):
        return "small" if _images_with_objects(spec) < _SMALL_DATA else None
    source = data.open_source(spec, "train")
    if source.image_shape is not None and max(source.image_shape[:2]) <= _TINY_SIDE:
        return "tiny"
    return "small" if source.size < _SMALL_DATA else None


def fitting_protocol(spec: str, open_data: Callable[..., Any]) -> str | None:
    """Returns the protocol that some data is for, where it is for no protocol that opens its data so.

    Args:
        spec: SPEC of the data, which could not be opened so.
        open_data: Of a protocol.
    """
    is_for_boxes = open_data is open_object_splits
    try:
        if data.has_objects(spec):
            return None if is_for_boxes else "detection"
        return "linear-fast" if is_for_boxes and data.open_source(spec, "train").has_labels else None
    except DataError:
        return None


def _images_with_objects(spec: str) -> int:
    """Returns the number of training images; an upper bound where that is small: their annotations are not read."""
    try:
        size = data.open_source(spec, "train").size
    except DataError:
        # Of joined data sets, for example, there are objects alone.
        size = _SMALL_DATA
    return size if size < _SMALL_DATA else data.open_objects(spec, "train").size
