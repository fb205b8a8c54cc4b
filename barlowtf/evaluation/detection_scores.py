"""From the objects and the detections of test images to scores and to a file of predictions."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from barlowtf import detection
from barlowtf.atomic import write_file
from barlowtf.data import ObjectSet
from barlowtf.data.objects import Mask
from barlowtf.detection import Detections, RunLengths, Truths
from barlowtf.errors import DataError


def require_counted(images: ObjectSet, *, measure: str) -> None:
    """Raises DataError where no object of the test images counts, so that there is no average precision.

    Args:
        images: The test images.
        measure: As of `box_scores`.
    """
    ignored = "difficult" if measure == "voc" else "crowd"
    if all(getattr(objects, ignored).all() for objects in images.objects):
        marked = "marked as difficult" if measure == "voc" else "crowds"
        raise DataError(
            f"Invalid test images of {images.source.name}: all {images.object_count} objects are {marked}, which do "
            "not count, expected at least one other object."
        )


def truths_of(images: ObjectSet) -> Truths:
    """Returns the objects of images; `image` is the number of an image among them, `category` the class."""
    parts = images.objects
    masks = None
    if images.has_masks:
        masks = [
            _runs(mask, *(int(side) for side in size))
            for objects, size in zip(parts, images.sizes, strict=True)
            for mask in objects.masks or ()
        ]
    return Truths(
        image=np.repeat(np.arange(images.size), [len(objects.labels) for objects in parts]),
        category=np.concatenate([objects.labels for objects in parts]),
        boxes=np.concatenate([objects.boxes for objects in parts]).astype(np.float64),
        difficult=np.concatenate([objects.difficult for objects in parts]),
        crowd=np.concatenate([objects.crowd for objects in parts]),
        areas=np.concatenate([objects.areas for objects in parts]),
        masks=masks,
    )


def box_scores(
    images: ObjectSet, detections: Detections, *, measure: str
) -> tuple[dict[str, float], list[float | None]]:
    """Returns AP, AP50 and AP75 as shares, and AP50 of each class (VOC) or AP of each class (COCO).

    Args:
        images: The test images.
        detections: What was found in them.
        measure: "voc": VOC 2007's rule of 11 points. "coco": COCO's.

    Raises:
        ConfigError: pycocotools is not installed.
    """
    truths, classes = truths_of(images), range(len(images.class_names))
    if measure == "voc":
        voc = detection.voc_scores(truths, detections, categories=classes)
        scores = {"ap": voc.ap, "ap50": voc.ap50, "ap75": voc.ap75}
        return {name: float(value / 100) for name, value in scores.items()}, [
            _or_none(value / 100) for value in voc.ap50_by_category
        ]
    coco = detection.coco_box_scores(truths, detections, images=range(images.size), categories=classes)
    return _of_coco(coco), [_or_none(value) for value in coco.ap_by_category]


def mask_scores(images: ObjectSet, detections: Detections) -> tuple[dict[str, float], list[float | None]]:
    """Returns what `box_scores` does, by COCO's rule and the overlap of masks."""
    coco = detection.coco_mask_scores(
        truths_of(images), detections, images=range(images.size), categories=range(len(images.class_names))
    )
    return _of_coco(coco), [_or_none(value) for value in coco.ap_by_category]


def write_predictions(file: Path, images: ObjectSet, detections: Detections) -> None:
    """Writes detections as a COCO results file: a list of image_id, category_id, bbox, score and segmentation."""
    lines = []
    for place in range(len(detections.image)):
        x1, y1, x2, y2 = (round(float(edge), 3) for edge in detections.boxes[place])
        entry: dict[str, Any] = {
            "image_id": images.image_ids[int(detections.image[place])],
            "category_id": images.category_ids[int(detections.category[place])],
            "bbox": [x1, y1, round(x2 - x1, 3), round(y2 - y1, 3)],
            "score": round(float(detections.scores[place]), 6),
        }
        if detections.masks is not None:
            runs = detections.masks[place]
            entry["segmentation"] = {
                "size": [runs.height, runs.width],
                "counts": detection.compress_runs(runs),
            }
        lines.append(json.dumps(entry))
    write_file(file, ("[\n" + ",\n".join(lines) + "\n]\n").encode())


def _of_coco(scores: detection.COCOScores) -> dict[str, float]:
    named = {
        "ap": scores.ap,
        "ap50": scores.ap50,
        "ap75": scores.ap75,
        "ap_small": scores.ap_small,
        "ap_medium": scores.ap_medium,
        "ap_large": scores.ap_large,
    }
    # -1 where no object is of that size.
    return {name: float(value) for name, value in named.items() if value >= 0}


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) or value < 0 else float(value)


def _runs(mask: Mask, height: int, width: int) -> RunLengths:
    if isinstance(mask, RunLengths):
        return mask
    return detection.encode_runs(detection.polygons_to_bits(mask, height=height, width=width))
