"""Protocol segmentation: Mask R-CNN C4, all of it fine-tuned on boxes and masks.

Source: arXiv:2103.03230, section 4.3 and Table 4; facebookresearch/moco detection.
"""

from barlowtf.errors import ConfigError, DataError
from barlowtf.evaluation.contract import Outcome, Protocol, Task
from barlowtf.evaluation.detecting import find_all, make_detector, require_stages, train_detector
from barlowtf.evaluation.detection_files import write_files
from barlowtf.evaluation.detection_scores import box_scores, mask_scores, require_counted
from barlowtf.evaluation.detection_settings import COCO_C4, SMALL, DetectionSettings
from barlowtf.evaluation.object_splits import open_object_splits
from barlowtf.evaluation.published import Published
from barlowtf.records import Measure


def measure_segmentation(task: Task[DetectionSettings]) -> Outcome | None:
    """Fine-tunes a detector with masks and scores boxes and masks on the test images, by COCO's rule.

    Returns:
        The outcome; None where a signal came first. The state is saved then, and the same call resumes.

    Raises:
        ConfigError: Another measure is asked for.
        DataError: Images have no masks, or no object of the test images counts.
    """
    if task.settings.measure != "coco":
        raise ConfigError(
            f'Invalid measure: received "{task.settings.measure}", expected "coco": VOC has no measure of masks.'
        )
    for images in (task.splits.train, task.splits.test):
        if not images.has_masks:
            raise DataError(
                f"Invalid data: the objects of {images.source.name} have boxes and no masks, expected polygons or run "
                "lengths, as in COCO. Use --protocol detection."
            )
    require_counted(task.splits.test, measure="coco")
    with task.strategy.scope():
        detector = make_detector(task, masks=True)
    if not train_detector(task, detector):
        return None
    detections = find_all(detector, task.splits.test, task.encoder, task.settings)
    boxes, _ = box_scores(task.splits.test, detections, measure="coco")
    masks, by_class = mask_scores(task.splits.test, detections)
    write_files(task, detector, detections)
    scores = {f"box_{name}": value for name, value in boxes.items()}
    return Outcome(scores | {f"mask_{name}": value for name, value in masks.items()}, by_class)


SEGMENTATION = Protocol(
    name="segmentation",
    variants={"coco-c4": COCO_C4, "small": DetectionSettings(**SMALL)},
    open_data=open_object_splits,
    measure=measure_segmentation,
    measures=tuple(
        Measure(name=f"{kind}_{name.lower()}", title=f"{kind} {name}", headline=(kind, name) == ("box", "AP"))
        for kind in ("box", "mask")
        for name in ("AP", "AP50", "AP75")
    ),
    takes_list=False,
    published=Published(
        {
            "box_ap": 0.392,
            "box_ap50": 0.590,
            "box_ap75": 0.425,
            "mask_ap": 0.343,
            "mask_ap50": 0.560,
            "mask_ap75": 0.365,
        },
        data="coco/2017",
        variants=("coco-c4",),
        test_images=5_000,
    ),
    trains_encoder=lambda settings: True,
    takes_test_data=True,
    require=require_stages,
    per_class_title="Average precision of masks by class",
)
