"""Settings of detection: the paper's schedule, and how it follows the number of images of an update."""

import pytest
from pydantic import ValidationError

from barlowtf.evaluation import PROTOCOLS
from barlowtf.evaluation.detection_settings import COCO_C4, DetectionSettings
from barlowtf.models.detector import DetectorSettings


def test_schedules_are_the_papers():
    """arXiv:2103.03230, appendix: "linear warmup with a slope of 0.333 for 1000 iterations", 24K iterations, 0.1."""
    voc = DetectionSettings()
    assert (voc.steps, voc.drops, voc.learning_rate, voc.batch_size) == (24_000, (18_000, 22_000), 0.1, 16)
    assert voc.warmup_steps == 1_000 and voc.warmup_share == pytest.approx(0.333, abs=1e-3)
    assert (COCO_C4.steps, COCO_C4.drops, COCO_C4.learning_rate) == (90_000, (60_000, 80_000), 0.03)
    assert (COCO_C4.warmup_steps, COCO_C4.warmup_share) == (1_000, 0.001)  # detectron2's
    assert voc.detector == COCO_C4.detector == DetectorSettings()


def test_fewer_images_take_more_steps_at_a_lower_rate():
    settings = DetectionSettings(batch_size=4)
    assert settings.share == 0.25
    assert [settings.scaled(steps) for steps in (0, 1, 1_000, 24_000)] == [0, 4, 4_000, 96_000]
    assert DetectionSettings(batch_size=160).scaled(3) == 1


def test_all_variants_are_valid():
    for name in ("detection", "segmentation"):
        for settings in PROTOCOLS[name].variants.values():
            assert type(settings).model_validate(settings.model_dump()) == settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"drops": (5, 3)}, "drops are rising numbers of updates"),
        ({"longest": 700}, "longest is 700, expected at least the short sides, up to 800"),
        ({"short_sides": ()}, "at least 1 item"),
        ({"regions": 3}, "greater than or equal to 4"),
        ({"regions": 10**9}, "less than or equal to 10000"),
        ({"candidates": (10**9, 1)}, "less than or equal to 100000"),
        ({"proposals": (1, 10**9)}, "less than or equal to 100000"),
        ({"warmup_share": 1.5}, "less than or equal to 1"),
    ],
)
def test_settings_that_do_not_hold_together(change, message):
    with pytest.raises(ValidationError, match=message):
        DetectionSettings(**change)
