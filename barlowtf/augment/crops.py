"""The crops of a view: from an example's random numbers to pixels, for one image or for images of one size.

Letters: n examples, V views of each, K = `CropPlan.draws` random numbers for each crop.

With a window, all views of an example are cut from one square of the image: two crops of a large image of many small
things would rarely show the same ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

from barlowtf.augment.crop import CROP_DRAWS, crop_and_resize, draw_boxes, place_window, random_resized_crop
from barlowtf.augment.draws import WINDOW, uniforms, uniforms_of_streams
from barlowtf.augment.normalize import unit_range

_WINDOW_DRAWS = 2


@dataclass(frozen=True)
class CropPlan:
    """How a view is cut from an image: a random box, resized, and perhaps mirrored.

    Attributes:
        size: Height and width of the crop, pixels.
        area: Range of the box's share of the image's area, drawn uniformly, in (0, 1].
        aspect: Range of the box's width / height, drawn uniformly on a logarithmic scale, > 0.
        interpolation: "bicubic" or "bilinear", both antialiased.
        flip: Probability of a mirror image. Pre-training flips on the device (`TwoViews`), so 0 there.
        window: Height and width of the square that all views of an example are cut from, pixels of the image; None: the
            whole image. Where an image is smaller, that side is the image's own.
    """

    size: tuple[int, int]
    area: tuple[float, float] = (0.08, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: str = "bicubic"
    flip: float = 0.0
    window: int | None = None

    @property
    def draws(self) -> int:
        """Random numbers for each crop, K: those of the box, of the mirror image, and those that place the window."""
        return CROP_DRAWS + (self.flip > 0) + _WINDOW_DRAWS * (self.window is not None)


def draw_crops(seeds: tf.Tensor, streams: Sequence[int], plan: CropPlan) -> tf.Tensor:
    """Returns the random numbers that place the crops of each example.

    Args:
        seeds: Seeds of the examples, int32 [n, 2], of `example_seeds`.
        streams: The stream of each view, for example `CROP_A`, `CROP_B`.
        plan: How the crops are cut.

    Returns:
        float32 [n, V, K] in [0, 1).
    """
    own = plan.draws if plan.window is None else plan.draws - _WINDOW_DRAWS
    draws = uniforms_of_streams(seeds, streams, own)
    if plan.window is None:
        return draws
    # The same numbers for all views of an example.
    shared = tf.repeat(uniforms(seeds, WINDOW, _WINDOW_DRAWS)[:, tf.newaxis], len(streams), axis=1)
    return tf.concat([draws, shared], axis=2)


def crop_image(image: tf.Tensor, draws: tf.Tensor, plan: CropPlan) -> tuple[tf.Tensor, ...]:
    """Returns the crops of one image, one for each view; for the host's input pipeline.

    Args:
        image: uint8 or uint16 [H, W, C].
        draws: float32 [V, K], one row of `draw_crops`.
        plan: How the crops are cut.

    Returns:
        V crops of the type of `image`, [size[0], size[1], C].
    """
    height, width = tf.unstack(tf.shape(image)[:2])
    boxes = _boxes(draws, height, width, plan)
    crops = []
    for view in range(draws.shape[0]):
        crop = crop_and_resize(image, boxes[view], plan.size, interpolation=plan.interpolation)
        if plan.flip > 0:
            crop = tf.where(draws[view, CROP_DRAWS] < plan.flip, crop[:, ::-1], crop)
        crops.append(crop)
    return tuple(crops)


def crop_images(images: tf.Tensor, draws: tf.Tensor, plan: CropPlan) -> tuple[tf.Tensor, ...]:
    """Returns the crops of images of one size, one batch for each view; many times faster than one by one.

    Args:
        images: uint8 or uint16 [n, H, W, C].
        draws: float32 [n, V, K] of `draw_crops`.
        plan: How the crops are cut.

    Returns:
        V batches of crops of the type of `images`, [n, size[0], size[1], C]. A pixel may differ by one step from
        `crop_image`, which sums in another order; of 16 bits by a few.
    """
    height, width = images.shape[1:3]
    floats, largest = unit_range(images), float(images.dtype.max)
    batches = []
    for view in range(draws.shape[1]):
        boxes = _boxes(draws[:, view], height, width, plan)
        crops = random_resized_crop(floats, boxes, plan.size, interpolation=plan.interpolation)
        if plan.flip > 0:
            mirrored = (draws[:, view, CROP_DRAWS] < plan.flip)[:, tf.newaxis, tf.newaxis, tf.newaxis]
            crops = tf.where(mirrored, crops[:, :, ::-1], crops)
        batches.append(tf.cast(tf.round(crops * largest), images.dtype))
    return tuple(batches)


def _boxes(draws: tf.Tensor, height: int | tf.Tensor, width: int | tf.Tensor, plan: CropPlan) -> tf.Tensor:
    """Returns the box of each of m crops of images of one size, int32 [m, 4], from draws [m, K]."""
    if plan.window is None:
        return draw_boxes(draws[:, :CROP_DRAWS], height, width, plan.area, plan.aspect)
    window_height, window_width = tf.minimum(plan.window, height), tf.minimum(plan.window, width)
    boxes = draw_boxes(draws[:, :CROP_DRAWS], window_height, window_width, plan.area, plan.aspect)
    corner = place_window(draws[:, -_WINDOW_DRAWS:], height - window_height, width - window_width)
    return boxes + tf.pad(corner, [[0, 0], [0, 2]])
