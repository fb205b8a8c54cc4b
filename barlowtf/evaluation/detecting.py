"""Fine-tunes a detector that starts from an encoder, and finds the objects of test images."""

import logging
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from barlowtf import detection
from barlowtf.data import ObjectSet
from barlowtf.data.objects import ObjectPlan, object_batches, padded_image
from barlowtf.detection import Detections, RunLengths
from barlowtf.encoders import Encoder
from barlowtf.errors import ConfigError
from barlowtf.evaluation.contract import Task
from barlowtf.evaluation.detection_settings import DetectionSettings
from barlowtf.models.detector import Detector, split_encoder
from barlowtf.optim import MomentumSGD, WarmupSteps

_LOG = logging.getLogger("barlowtf")
# Side of the masks that training stores; several times that of the masks that are learned, 14.
_STORED_MASK = 112
_LOG_EVERY_SECONDS = 30.0
# A training of fewer pixels is not worth a forecast: its progress says soon enough how long it takes.
_PIXELS_WORTH_TIMING = 1e10
# Width by height of a usual photograph, and what canvases are multiples of, pixels.
_USUAL_ASPECT, _CELL = 4 / 3, 32
# Gradients take twice as long as what they are the gradients of; training sees fewer proposals than a test.
_TRAINING_BY_TEST = 2.0


class _Found(NamedTuple):
    """The detections of one image."""

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    masks: list[RunLengths]


def require_stages(encoder: Encoder) -> tuple[str, str]:
    """Returns the layers with which an encoder's trunk and head end.

    Raises:
        ConfigError: The encoder has no stages that a detector of this kind could start from.
    """
    family = encoder.family
    if family is None or family.detector_cut is None:
        raise ConfigError(
            f"Invalid encoder {encoder.name}: received {encoder.model.name}, which has no stages conv4 and conv5, "
            "expected a ResNet. Give the run of a ResNet (model.encoder)."
        )
    return family.detector_cut(encoder.model)


def make_detector(task: Task[DetectionSettings], *, masks: bool) -> Detector:
    """Returns a detector on a task's encoder with its optimizer; call it in the strategy's scope.

    Raises:
        ConfigError: See `require_stages`.
    """
    encoder, settings = task.encoder, task.settings
    # Another protocol may have frozen it.
    encoder.model.trainable = True
    detector = Detector(
        split_encoder(encoder.model, *require_stages(encoder)),
        task.splits.class_count,
        settings.detector,
        masks=masks,
        prepare=encoder.normalize,
        seed=task.seed,
    )
    optimizer = MomentumSGD(
        WarmupSteps(
            settings.learning_rate * settings.share,
            warmup_steps=settings.scaled(settings.warmup_steps),
            drops=[settings.scaled(drop) for drop in settings.drops],
            warmup_share=settings.warmup_share,
        ),
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        undecayed=[variable.path for variable in detector.trainable_variables if variable.name in ("gamma", "beta")],
    )
    detector.compile(optimizer=optimizer)
    optimizer.build(detector.trainable_variables)
    return detector


def train_detector(task: Task[DetectionSettings], detector: Detector) -> bool:
    """Trains a detector to its last step; returns False where a signal came first."""
    settings, train = task.settings, task.splits.train
    if settings.batch_size > train.size or settings.batch_size % task.strategy.num_replicas_in_sync:
        raise ConfigError(
            f"Invalid batch_size: received {settings.batch_size} for {train.size} images and "
            f"{task.strategy.num_replicas_in_sync} replicas, expected at most as many as images and a multiple of the "
            "replicas."
        )
    if settings.steps <= settings.warmup_steps:
        _LOG.warning(
            "The rate rises to the end: %d steps lie within warmup_steps = %d. Little is learned so.",
            settings.steps,
            settings.warmup_steps,
        )
    plan = ObjectPlan(
        batch_size=settings.batch_size,
        short_sides=settings.short_sides,
        longest=settings.longest,
        flip=settings.flip,
        places=min(settings.most_objects, max(1, *(len(objects.labels) for objects in train.objects))),
        mask_size=_STORED_MASK if detector.mask_head is not None else 0,
        channels=task.encoder.image_shape[2],
        seed=task.seed,
        rendering=task.encoder.rendering,
    )
    foretell_training(detector, settings, task.encoder.image_shape[2])
    return task.fit(
        detector,
        lambda start: object_batches(train, plan, start, strategy=task.strategy),
        total_steps=settings.scaled(settings.steps),
        steps_per_epoch=train.size // settings.batch_size,
        folder=task.unfinished,
    )


def foretell_training(detector: Detector, settings: DetectionSettings, channels: int) -> None:
    """Logs about how long a large training will take, by the time of one image; call it before the training.

    Args:
        detector: The detector.
        settings: How many steps of how many images, and of which size.
        channels: Channels of the images.
    """
    short = max(settings.short_sides)
    size = (short, min(round(short * _USUAL_ASPECT), settings.longest))
    images = settings.scaled(settings.steps) * settings.batch_size
    if images * size[0] * size[1] < _PIXELS_WORTH_TIMING:
        return
    detect = tf.function(detector.detect)
    image = tf.zeros([1, *(-(-side // _CELL) * _CELL for side in size), channels], tf.uint8)
    # The first call compiles.
    for _ in range(2):
        started = time.monotonic()
        detect(image, tf.constant([size], tf.float32))[0].boxes.numpy()
        seconds = time.monotonic() - started
    estimate = images * seconds * _TRAINING_BY_TEST
    _LOG.info(
        "Training of %s steps of %d images takes about %s, by the time of one image. For a try: --variant small.",
        f"{settings.scaled(settings.steps):,}",
        settings.batch_size,
        _duration(estimate),
    )


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86_400.0), ("hours", 3_600.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{max(seconds / 60, 1):.0f} min"


def find_all(detector: Detector, images: ObjectSet, encoder: Encoder, settings: DetectionSettings) -> Detections:
    """Returns what a detector finds in images, boxes in pixels of the images as they are.

    Args:
        detector: The detector.
        images: Where to look; `image` of a detection is the number of the image among them, `category` the class.
        encoder: How images are prepared.
        settings: Size of the images, and numbers of the detector.

    Raises:
        tf.errors.OpError: An image cannot be read.
    """
    found = list(_found_in(detector, images, encoder, settings))
    counts = [len(one.labels) for one in found]
    if not any(counts):
        least = settings.detector.score
        _LOG.warning("No object was found: no detection has a score above %g. Train longer, or at another rate.", least)
    return Detections(
        image=np.repeat(np.arange(images.size), counts),
        category=_joined([one.labels for one in found], (0,), np.int64),
        boxes=_joined([one.boxes for one in found], (0, 4), np.float64),
        scores=_joined([one.scores for one in found], (0,), np.float64),
        masks=None if detector.mask_head is None else [mask for one in found for mask in one.masks],
    )


def _found_in(detector: Detector, images: ObjectSet, encoder: Encoder, settings: DetectionSettings) -> Iterator[_Found]:
    detect = tf.function(detector.detect, reduce_retracing=False)
    told, started = time.monotonic(), time.monotonic()
    for number in range(images.size):
        image, extent = padded_image(
            images,
            number,
            short=settings.test_short_side,
            longest=settings.longest,
            channels=encoder.image_shape[2],
            rendering=encoder.rendering,
        )
        found, masks = detect(image, tf.constant(extent))
        valid = found.valid[0].numpy()
        size = images.sizes[number]
        height, width = (int(side) for side in size)
        boxes = found.boxes[0].numpy()[valid] * np.tile(size[::-1] / extent[0, ::-1], 2)
        yield _Found(
            boxes,
            found.labels[0].numpy()[valid],
            found.scores[0].numpy()[valid],
            _runs(masks[0].numpy()[valid], boxes, height, width) if masks.shape[-1] else [],
        )
        if time.monotonic() - told > _LOG_EVERY_SECONDS:
            told = time.monotonic()
            left = (told - started) / (number + 1) * (images.size - number - 1)
            _LOG.info("Test: %d of %d images, %.0f s left.", number + 1, images.size, left)


def _runs(masks: np.ndarray, boxes: np.ndarray, height: int, width: int) -> list[RunLengths]:
    """Returns the masks of detections in their image; one after the other, because an image may be large."""
    runs = []
    for mask, box in zip(masks, boxes, strict=True):
        bits = detection.paste_masks(
            tf.constant(mask[None]), tf.constant(box[None], tf.float32), height=height, width=width
        )
        runs.append(detection.encode_runs(bits[0].numpy()))
    return runs


def _joined(parts: list[np.ndarray], empty: tuple[int, ...], dtype: Any) -> np.ndarray:
    return np.concatenate([np.zeros(empty, dtype), *parts]).astype(dtype)
