"""Batches of images and objects for a detector: resized, perhaps mirrored, padded to a canvas.

Every draw is a function of (seed, epoch, example), so a training resumes at any step.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from barlowtf import augment, detection
from barlowtf.data.images import decode
from barlowtf.data.objects.annotations import Mask, ObjectSet
from barlowtf.data.objects.canvases import BatchOrder, canvas_of, resized_extents
from barlowtf.data.rendering import EIGHT_BITS, Rendering
from barlowtf.data.threads import PREFETCHED_BATCHES, cores
from barlowtf.detection import RunLengths


@dataclass(frozen=True)
class ObjectPlan:
    """What batches are made of.

    Attributes:
        batch_size: Images of a step, over all replicas.
        short_sides: Lengths of the short side to draw from, pixels.
        longest: Largest length of a long side, pixels.
        flip: Probability of a mirror image.
        places: Places G for the objects of an image; of more, the largest are taken.
        mask_size: Side of the masks within their boxes; 0: no masks.
        channels: Channels of the images.
        seed: In [0, 2**31).
        rendering: How images are decoded.
    """

    batch_size: int
    short_sides: tuple[int, ...]
    longest: int
    flip: float
    places: int
    mask_size: int
    channels: int
    seed: int
    rendering: Rendering = EIGHT_BITS


# See `barlowtf.models.detector.DetectionBatch`, whose fields these are.
ObjectBatch = tuple[Any, ...]


def object_batches(
    objects: ObjectSet, plan: ObjectPlan, start_step: int, *, strategy: tf.distribute.Strategy | None = None
) -> Iterator[ObjectBatch]:
    """Yields the batches of the steps from `start_step` on.

    Crowds are left out. Difficult objects are learned, as in detectron2.

    Args:
        objects: What to learn from, at least `plan.batch_size` images.
        plan: What the batches are made of.
        start_step: Steps already taken, >= 0.
        strategy: None or one replica: plain tensors. Several replicas: what `strategy.run` takes.

    Yields:
        images uint8 or uint16 [B, H, W, C], extents float32 [B, 2], boxes float32 [B, G, 4], labels int32 [B, G],
        valid bool [B, G], masks bool [B, G, S, S] and seeds int32 [B, 2].

    Raises:
        tf.errors.OpError: An image cannot be read.
    """
    order = BatchOrder(
        objects.sizes,
        batch_size=plan.batch_size,
        short=max(plan.short_sides),
        longest=plan.longest,
        seed=plan.seed,
    )
    with ThreadPoolExecutor(cores()) as images, ThreadPoolExecutor(PREFETCHED_BATCHES) as batches:

        def make(step: int) -> ObjectBatch:
            epoch, batch = order.batch(step)
            seeds = augment.example_seeds(plan.seed, tf.constant(epoch, tf.int64), tf.constant(batch.numbers))
            draws = augment.uniforms(seeds, augment.RESIZE, 2).numpy()
            examples = images.map(
                lambda number, draw: _example(objects, int(number), draw, plan, batch.canvas), batch.numbers, draws
            )
            parts = [np.stack(part) for part in zip(*examples, strict=True)]
            return (*parts, seeds.numpy())

        waiting = [batches.submit(make, start_step + ahead) for ahead in range(PREFETCHED_BATCHES)]
        step = start_step
        while True:
            made = waiting.pop(0).result()
            waiting.append(batches.submit(make, step + PREFETCHED_BATCHES))
            yield _placed(made, strategy)
            step += 1


def padded_image(
    objects: ObjectSet, number: int, *, short: int, longest: int, channels: int, rendering: Rendering = EIGHT_BITS
) -> tuple[tf.Tensor, np.ndarray]:
    """Returns an image as a detector sees it in a test.

    Args:
        objects: The images.
        number: Which of them.
        short: Length of the short side, pixels.
        longest: Largest length of the long side, pixels.
        channels: Channels of the images.
        rendering: How it is decoded.

    Returns:
        uint8 or uint16 [1, H, W, C], padded, and the extent without the padding, float32 [1, 2].

    Raises:
        tf.errors.OpError: The image cannot be read.
    """
    image = _read(objects, number, channels, rendering)
    extent = resized_extents(np.array([image.shape[:2]]), short, longest)
    return tf.constant(_on_canvas(_resized(image, extent[0]), canvas_of(extent))[None]), extent.astype(np.float32)


def _read(objects: ObjectSet, number: int, channels: int, rendering: Rendering) -> tf.Tensor:
    """Returns an image, [H, W, C], or raises `tf.errors.OpError`: it cannot be read, or has changed in size."""
    image = decode(objects.source.read(tf.constant(number, tf.int64)), channels, rendering)
    expected, found = tuple(objects.sizes[number].tolist()), tuple(image.shape[:2])
    if 0 not in expected and found != expected:
        raise tf.errors.InvalidArgumentError(
            None,
            None,
            f"{objects.source.identify(number)} has {found[0]} x {found[1]} pixels now, and had {expected[0]} x "
            f"{expected[1]} when its boxes were read",
        )
    return image


def _example(
    objects: ObjectSet, number: int, draw: np.ndarray, plan: ObjectPlan, canvas: tuple[int, int]
) -> tuple[np.ndarray, ...]:
    """Returns the fields of one image, all but its seed."""
    image = _read(objects, number, plan.channels, plan.rendering)
    short = plan.short_sides[int(draw[0] * len(plan.short_sides))]
    size = np.array(image.shape[:2])
    extent = resized_extents(size[None], short, plan.longest)[0]
    mirrored = bool(draw[1] < plan.flip)
    pixels = _resized(image, extent)
    of_image = objects.objects[number]
    chosen = np.flatnonzero(~of_image.crowd)
    if len(chosen) > plan.places:
        chosen = np.sort(chosen[np.argsort(-of_image.areas[chosen], kind="stable")[: plan.places]])
    scale = (extent / size)[[1, 0, 1, 0]]
    boxes = of_image.boxes[chosen] * scale
    if mirrored:
        pixels, boxes = (
            pixels[:, ::-1],
            np.stack([extent[1] - boxes[:, 2], boxes[:, 1], extent[1] - boxes[:, 0], boxes[:, 3]], axis=1),
        )
    masks = np.zeros((plan.places, plan.mask_size, plan.mask_size), bool)
    if plan.mask_size and of_image.masks is not None:
        for place, which in enumerate(chosen):
            mask = mask_within_box(of_image.masks[which], of_image.boxes[which], size=plan.mask_size)
            masks[place] = mask[:, ::-1] if mirrored else mask
    return (
        _on_canvas(pixels, canvas),
        extent.astype(np.float32),
        _filled(boxes.astype(np.float32), plan.places),
        _filled(of_image.labels[chosen].astype(np.int32), plan.places),
        np.arange(plan.places) < len(chosen),
        masks,
    )


def mask_within_box(mask: Mask, box: np.ndarray, *, size: int) -> np.ndarray:
    """Returns the mask of an object within its box, bool [size, size].

    Args:
        mask: Polygons, or run lengths of the whole image.
        box: float [4] in pixels of the image.
        size: Side of the result.
    """
    if isinstance(mask, RunLengths):
        bits = tf.constant(detection.decode_runs(mask)[None])
        return detection.crop_masks(bits, tf.constant(box[None], tf.float32), size=size)[0].numpy()
    return detection.polygons_within_box(mask, box, size=size)


def _resized(image: tf.Tensor, extent: np.ndarray) -> np.ndarray:
    """Returns an image of another size, antialiased bilinear, of its type."""
    resized = tf.raw_ops.ScaleAndTranslate(
        images=image[None],
        size=tf.constant(extent, tf.int32),
        scale=tf.constant(extent / np.array(image.shape[:2]), tf.float32),
        translation=tf.zeros([2]),
        kernel_type="triangle",
        antialias=True,
    )[0]
    return tf.cast(tf.clip_by_value(tf.round(resized), 0.0, float(image.dtype.max)), image.dtype).numpy()


def _on_canvas(pixels: np.ndarray, canvas: tuple[int, int]) -> np.ndarray:
    whole = np.zeros((*canvas, pixels.shape[2]), pixels.dtype)
    whole[: pixels.shape[0], : pixels.shape[1]] = pixels
    return whole


def _filled(values: np.ndarray, places: int) -> np.ndarray:
    return np.concatenate([values, np.zeros((places - len(values), *values.shape[1:]), values.dtype)])


def _placed(batch: ObjectBatch, strategy: tf.distribute.Strategy | None) -> ObjectBatch:
    """Returns a batch as `strategy.run` takes it: every replicas-th example for each replica."""
    if strategy is None or strategy.num_replicas_in_sync == 1:
        return tuple(tf.constant(part) for part in batch)
    replicas = strategy.num_replicas_in_sync

    def distribute(part: np.ndarray) -> Any:
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(part[context.replica_id_in_sync_group :: replicas])
        )

    return tuple(distribute(part) for part in batch)
