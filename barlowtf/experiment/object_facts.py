"""What `barlowtf data show` says of images with boxes."""

from collections.abc import Mapping

import numpy as np
from pydantic import Field

from barlowtf import data
from barlowtf.data import ObjectSet
from barlowtf.errors import DataError, NoTestSplitError
from barlowtf.evaluation.object_splits import join_object_splits
from barlowtf.records import Record

_SHOWN_CLASSES = 8


class ObjectFacts(Record):
    """The boxes and masks of one split."""

    images: int = Field(description="number of images that are annotated")
    without_objects: int = Field(description="number of images without an object")
    objects: int = Field(description="number of objects")
    objects_per_class: dict[str, int] = Field(description="class -> number of objects")
    objects_per_image: tuple[int, int, int] = Field(description="least, median and largest number of an image")
    sides: tuple[float, float, float] | None = Field(
        description="least, median and largest square root of the area of a box, pixels; null: no objects"
    )
    has_masks: bool = Field(description="whether the objects have masks")
    difficult: int = Field(description="number of objects that are marked as difficult")
    crowds: int = Field(description="number of objects that are marked as crowds")
    cut: int = Field(description="number of boxes that reach beyond their image and are cut to it")
    left_out: dict[str, int] = Field(description="why objects are left out -> number of objects")


def object_facts(spec: str) -> tuple[dict[str, ObjectFacts], str | None]:
    """Returns what each split of a data set says of its objects, and why they cannot be used.

    Args:
        spec: SPEC of images, with boxes or without.

    Returns:
        {} where there are none; the second value is None where all is well.
    """
    facts: dict[str, ObjectFacts] = {}
    try:
        if not data.has_objects(spec):
            return {}, None
        opened = {}
        for split in ("train", "test"):
            opened[split] = data.open_objects(spec, split)
            facts[split] = _facts_of(opened[split])
        # What the protocols refuse.
        join_object_splits(opened["train"], opened["test"], spec)
    except NoTestSplitError:
        return facts, None
    except DataError as error:
        return facts, str(error)
    return facts, None


def _facts_of(images: ObjectSet) -> ObjectFacts:
    counts = np.array([len(objects.labels) for objects in images.objects])
    labels = np.concatenate([objects.labels for objects in images.objects])
    of_class = np.bincount(labels, minlength=len(images.class_names))
    boxes = np.concatenate([objects.boxes for objects in images.objects]).astype(np.float64)
    sides = np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    return ObjectFacts(
        images=images.size,
        without_objects=int((counts == 0).sum()),
        objects=len(labels),
        objects_per_class=dict(zip(images.class_names, of_class.tolist(), strict=True)),
        objects_per_image=(int(counts.min()), int(np.median(counts)), int(counts.max())),
        sides=(float(sides.min()), float(np.median(sides)), float(sides.max())) if len(sides) else None,
        has_masks=images.has_masks,
        difficult=sum(int(objects.difficult.sum()) for objects in images.objects),
        crowds=sum(int(objects.crowd.sum()) for objects in images.objects),
        cut=images.clipped,
        left_out=images.dropped_by_reason,
    )


def object_lines(facts: Mapping[str, ObjectFacts]) -> list[tuple[str, str]]:
    """Returns the lines of text about the objects of each split: what it is, and what it says."""
    lines = []
    for split, found in facts.items():
        least, median, most = found.objects_per_image
        masks = "boxes and masks" if found.has_masks else "boxes"
        lines.append((f"objects, {split}", f"{found.objects:,} {masks} in {found.images:,} images"))
        lines.append(("  per class", _per_class(found.objects_per_class)))
        lines.append(("  per image", f"{least:,} to {most:,}, median {median:,}; {found.without_objects:,} without"))
        if found.sides is not None:
            least_side, side, largest = found.sides
            lines.append(
                (
                    "  sides of boxes",
                    f"{least_side:,.0f} to {largest:,.0f} pixels, median {side:,.0f} (root of the area)",
                )
            )
        marks = [
            f"{count:,} {name}" for name, count in (("difficult", found.difficult), ("crowds", found.crowds)) if count
        ]
        lines += [("  marked", ", ".join(marks))] if marks else []
        lines += [("  cut", f"{found.cut:,}: the box reaches beyond its image")] if found.cut else []
        lines += [("  left out", f"{count:,}: {reason}") for reason, count in found.left_out.items()]
    return lines


def _per_class(counts: Mapping[str, int]) -> str:
    """Returns the most frequent classes first, the rest as a number."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{name} ({count:,})" for name, count in ranked[:_SHOWN_CLASSES])
    absent = sum(count == 0 for count in counts.values())
    more = f" and {len(ranked) - _SHOWN_CLASSES:,} more" if len(ranked) > _SHOWN_CLASSES else ""
    return f"{shown}{more}{f'; {absent:,} without an object' if absent else ''}"
