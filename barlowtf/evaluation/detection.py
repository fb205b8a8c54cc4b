"""Protocol detection: Faster R-CNN C4, all of it fine-tuned on boxes.

Source: arXiv:2103.03230, section 4.3 and Table 4; facebookresearch/moco detection.
"""

from barlowtf.evaluation.contract import Outcome, Protocol, Task
from barlowtf.evaluation.detecting import find_all, make_detector, require_stages, train_detector
from barlowtf.evaluation.detection_files import write_files
from barlowtf.evaluation.detection_scores import box_scores, require_counted
from barlowtf.evaluation.detection_settings import COCO_C4, SMALL, DetectionSettings
from barlowtf.evaluation.object_splits import open_object_splits
from barlowtf.evaluation.published import Published
from barlowtf.records import Measure


def measure_detection(task: Task[DetectionSettings]) -> Outcome | None:
    """Fine-tunes a detector and scores its boxes on the test images.

    Returns:
        The outcome; None where a signal came first. The state is saved then, and the same call resumes.

    Raises:
        DataError: No object of the test images counts.
    """
    require_counted(task.splits.test, measure=task.settings.measure)
    with task.strategy.scope():
        detector = make_detector(task, masks=False)
    if not train_detector(task, detector):
        return None
    detections = find_all(detector, task.splits.test, task.encoder, task.settings)
    scores, by_class = box_scores(task.splits.test, detections, measure=task.settings.measure)
    write_files(task, detector, detections)
    return Outcome(scores, by_class)


DETECTION = Protocol(
    name="detection",
    variants={
        "voc-detection": DetectionSettings(),
        "coco-c4": COCO_C4,
        "small": DetectionSettings(**SMALL),
    },
    open_data=open_object_splits,
    measure=measure_detection,
    measures=(
        Measure(name="ap", title="AP"),
        Measure(name="ap50", title="AP50", headline=True),
        Measure(name="ap75", title="AP75"),
    ),
    takes_list=False,
    published=Published(
        {"ap": 0.568, "ap50": 0.826, "ap75": 0.634},
        data="voc/2007+2012",
        variants=("voc-detection",),
        test_images=4_952,
    ),
    trains_encoder=lambda settings: True,
    takes_test_data=True,
    require=require_stages,
    per_class_title="Average precision by class",
)
