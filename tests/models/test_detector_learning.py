"""A detector learns a few images by heart, boxes and masks."""

import numpy as np
import pytest
import tensorflow as tf

from barlowtf import augment
from barlowtf.detection import Detections, Truths, coco_box_scores, coco_mask_scores, encode_runs, paste_masks
from barlowtf.models.detector import DetectionBatch, DetectorSettings
from tests.models.detectors import constants, detector_of, encoder_of, parts_of

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.mark.slow
def test_four_images_are_learned_by_heart():
    """Colored rectangles and ellipses on noise: what a detector cannot overfit it cannot learn."""
    side, classes, r = 96, 2, np.random.default_rng(0)
    images = r.integers(90, 130, (4, side, side, 3), np.uint8)
    boxes, labels, small, truths = (
        np.zeros((4, 2, 4), "f4"),
        np.zeros((4, 2), "i4"),
        np.zeros((4, 2, 112, 112), bool),
        [],
    )
    at = (np.arange(112) + 0.5) / 56 - 1
    y, x = np.mgrid[:side, :side] + 0.5
    for image in range(4):
        for place in range(2):
            width, height = r.integers(24, 40, 2)
            left, top = r.integers(0, 48 - width // 2) + 0, 48 * place + r.integers(0, 48 - height + 1)
            box = np.float32([left, top, left + width, top + height])
            label = int(r.integers(0, 2))
            u, v = (x - left) / width * 2 - 1, (y - top) / height * 2 - 1
            bits = (np.maximum(abs(u), abs(v)) if label else u**2 + v**2) <= 1
            images[image][bits] = [[230, 40, 40], [40, 40, 230]][label]
            boxes[image, place], labels[image, place] = box, label
            small[image, place] = True if label else at[:, None] ** 2 + at**2 <= 1
            truths.append((image, label, box, encode_runs(bits)))
    extents = np.full((4, 2), side, "f4")
    encoder = encoder_of("resnet10_w0p25", dtype="mixed_bfloat16")
    settings = DetectorSettings(
        anchor_sizes=(24.0, 40.0),
        anchors_sampled=32,
        candidates=(200, 100),
        proposals=(60, 30),
        regions=24,
        detections=10,
    )
    detector = detector_of(parts_of(encoder), classes=classes, settings=settings)
    detector.optimizer.learning_rate = 0.02
    step, detect = tf.function(detector.training_logs), tf.function(detector.detect)
    scores = None
    for number in range(600):
        seeds = augment.example_seeds(7, tf.constant(number, tf.int64), tf.range(4, dtype=tf.int64))
        batch = DetectionBatch(images, extents, boxes, labels, np.ones((4, 2), bool), small, seeds)
        step(constants(batch))
        if number % 50 == 49:
            scores = average_precisions(truths, *detect(tf.constant(images), tf.constant(extents)), side)
            if scores[0] > 0.9 and scores[1] > 0.85:
                return
    pytest.fail(f"AP50 of boxes and masks: {scores}")


def average_precisions(truths, found, masks, side):
    image, category, boxes, runs = zip(*truths, strict=True)
    valid = found.valid.numpy()
    pasted = paste_masks(masks.numpy()[valid], found.boxes.numpy()[valid], height=side, width=side).numpy()
    detections = Detections(
        image=np.nonzero(valid)[0],
        category=found.labels.numpy()[valid],
        boxes=np.float64(found.boxes.numpy()[valid]),
        scores=np.float64(found.scores.numpy()[valid]),
        masks=[encode_runs(bits) for bits in pasted],
    )
    nothing = np.zeros(len(truths), bool)
    areas = np.array([one.counts[1::2].sum() for one in runs], "f8")
    objects = Truths(np.array(image), np.array(category), np.float64(boxes), nothing, nothing, areas, list(runs))
    return [
        score(objects, detections, images=range(4), categories=range(2)).ap50
        for score in (coco_box_scores, coco_mask_scores)
    ]
