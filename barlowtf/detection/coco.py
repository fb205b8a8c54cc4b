"""Average precision and recall of detections by COCO's own program (extra `detection`)."""

import contextlib
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from barlowtf.detection.instances import Detections, Truths
from barlowtf.detection.run_lengths import compress_runs
from barlowtf.errors import ConfigError


class COCOScores(NamedTuple):
    """COCO's numbers as fractions; -1 where no object is of the size or class.

    Average precision is over the overlaps 0.5, 0.55, ... 0.95 where not stated otherwise, recall at so many detections
    an image.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    recall1: float
    recall10: float
    recall100: float
    recall_small: float
    recall_medium: float
    recall_large: float
    ap_by_category: tuple[float, ...]


def coco_box_scores(
    truths: Truths, detections: Detections, *, images: Sequence[int], categories: Sequence[int]
) -> COCOScores:
    """Returns COCO's numbers by the overlap of boxes.

    Args:
        truths: Objects of the test set.
        detections: Detections.
        images: Numbers of all images of the test set, those without objects, too.
        categories: Numbers of the classes.

    Returns:
        COCOScores.

    Raises:
        ConfigError: pycocotools is not installed.

    Source: cocodataset/cocoapi pycocotools/cocoeval.py with its default thresholds.
    """
    return _scores("bbox", truths, detections, images, categories)


def coco_mask_scores(
    truths: Truths, detections: Detections, *, images: Sequence[int], categories: Sequence[int]
) -> COCOScores:
    """Returns COCO's numbers by the overlap of masks; a detection is as large as its mask.

    Args:
        truths: As in `coco_box_scores`, with masks.
        detections: As in `coco_box_scores`, with masks.
        images: As in `coco_box_scores`.
        categories: As in `coco_box_scores`.

    Returns:
        COCOScores.

    Raises:
        ValueError: Masks lack.
        ConfigError: pycocotools is not installed.
    """
    if truths.masks is None or detections.masks is None:
        raise ValueError("Invalid masks: received none, expected one for each object and detection.")
    return _scores("segm", truths, detections, images, categories)


def _scores(
    kind: str, truths: Truths, detections: Detections, images: Sequence[int], categories: Sequence[int]
) -> COCOScores:
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise ConfigError(
            'The COCO measures need pycocotools, which is not installed: pip install "barlowtf[detection]".'
        ) from error
    tables = _annotations(kind, truths), _annotations(kind, detections)
    # Asked for, though run lengths hold their own size.
    no_size = {"height": 0, "width": 0}
    with contextlib.redirect_stdout(io.StringIO()):  # it reports its progress
        sides = []
        for annotations in tables:
            side = COCO()
            side.dataset = {
                "images": [{"id": int(image), **no_size} for image in images],
                "categories": [{"id": int(category)} for category in categories],
                "annotations": annotations,
            }
            side.createIndex()
            sides.append(side)
        evaluation = COCOeval(*sides, kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    # [overlaps, recalls, classes, sizes, detections an image] at all sizes and 100 detections; classes by number.
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    by_number = {}
    for place, category in enumerate(evaluation.params.catIds):
        values = precision[:, :, place][precision[:, :, place] > -1]
        by_number[category] = float(values.mean()) if values.size else -1.0
    ap_by_category = tuple(by_number[int(category)] for category in categories)
    return COCOScores._make([*(float(value) for value in evaluation.stats), ap_by_category])


def _annotations(kind: str, records: Truths | Detections) -> list[dict[str, Any]]:
    """Returns COCO's form of the records."""
    annotations = []
    boxes = np.asarray(records.boxes, np.float64)
    for place, (left, top, right, bottom) in enumerate(boxes.tolist()):
        entry: dict[str, Any] = {
            "id": place + 1,  # 0 would mean none
            "image_id": int(records.image[place]),
            "category_id": int(records.category[place]),
            "bbox": [left, top, right - left, bottom - top],
            "area": (right - left) * (bottom - top),
            "iscrowd": 0,
        }
        if kind == "segm" and records.masks is not None:
            mask = records.masks[place]
            entry["segmentation"] = {
                "size": [mask.height, mask.width],
                "counts": compress_runs(mask).encode("ascii"),
            }
            entry["area"] = int(np.sum(mask.counts[1::2]))
        if isinstance(records, Detections):
            entry["score"] = float(records.scores[place])
        else:
            if records.areas is not None:
                entry["area"] = float(records.areas[place])
            if records.crowd is not None:
                entry["iscrowd"] = int(records.crowd[place])
        annotations.append(entry)
    return annotations
