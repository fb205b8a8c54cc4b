"""What the protocols detection and segmentation leave beside their result."""

import json
from typing import Any

from barlowtf.atomic import whole_file, write_file
from barlowtf.detection import Detections
from barlowtf.evaluation.contract import Task
from barlowtf.evaluation.detection_scores import write_predictions
from barlowtf.evaluation.detection_sheet import sheet_of
from barlowtf.models.detector import Detector
from barlowtf.models.saving import save_model


def write_files(task: Task[Any], detector: Detector, detections: Detections) -> None:
    """Writes predictions.json, sheet.jpg, dropped.jsonl, encoder.keras and detector.weights.h5 into a task's folder."""
    folder, splits = task.folder, task.splits
    folder.mkdir(parents=True, exist_ok=True)
    write_predictions(folder / "predictions.json", splits.test, detections)
    encoder = task.encoder
    picture = sheet_of(splits.test, detections, channels=encoder.image_shape[2], rendering=encoder.rendering)
    write_file(folder / "sheet.jpg", picture)
    lines = [
        json.dumps(
            {
                "split": split,
                "image": one.image_id,
                "class": one.class_name,
                "box": list(one.box),
                "reason": one.reason,
            }
        )
        for split, images in (("train", splits.train), ("test", splits.test))
        for one in images.dropped
    ]
    write_file(folder / "dropped.jsonl", "".join(f"{line}\n" for line in lines).encode())
    save_model(encoder.model, folder / "encoder.keras")
    with whole_file(folder / "detector.weights.h5") as aside:
        detector.save_weights(aside)
