"""Random resized crops: draws the boxes, resizes one image on the host or a batch on the device.

Resizing is cubic (a = -0.5) or linear, and antialiased: a kernel as wide as the larger of an input and an output
pixel, cut at the box's border and renormalized there, as in Pillow.
"""

import math
from collections.abc import Callable

import tensorflow as tf

from barlowtf.augment.planes import check_images

_TRIES = 10
# Numbers that `draw_boxes` takes from each example's stream: area and aspect of each try, then top and left.
CROP_DRAWS = 2 * _TRIES + 2


def draw_boxes(
    uniforms: tf.Tensor,
    height: int | tf.Tensor,
    width: int | tf.Tensor,
    area: tuple[float, float] = (0.08, 1.0),
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
) -> tf.Tensor:
    """Returns the random box of each example: ten tries, then the central box of the nearest allowed aspect.

    Args:
        uniforms: Random numbers in [0, 1), float32 [n, CROP_DRAWS].
        height: Height of the images, pixels, integer, scalar or [n].
        width: Width of the images, pixels, integer, scalar or [n].
        area: Range of the box's share of the image's area, drawn uniformly, in (0, 1].
        aspect: Range of width / height, drawn uniformly on a logarithmic scale, > 0.

    Returns:
        int32 [n, 4] = top, left, height, width in pixels, inside the image.

    Raises:
        ValueError: `uniforms` has another number of columns, or a range is not in order.

    Source: torchvision RandomResizedCrop.get_params.
    """
    uniforms = tf.convert_to_tensor(uniforms, tf.float32)
    if uniforms.shape.rank != 2 or uniforms.shape[1] != CROP_DRAWS:
        raise ValueError(f"Invalid uniforms: received shape {uniforms.shape}, expected [n, {CROP_DRAWS}].")
    for name, (low, high) in (("area", area), ("aspect", aspect)):
        if not 0 < low <= high:
            raise ValueError(f"Invalid {name}: received ({low}, {high}), expected 0 < low <= high.")
    image_height = _column(height)  # [1 or n, 1]
    image_width = _column(width)

    share = area[0] + (area[1] - area[0]) * uniforms[:, :_TRIES]
    log_low, log_high = math.log(aspect[0]), math.log(aspect[1])
    ratio = tf.exp(log_low + (log_high - log_low) * uniforms[:, _TRIES : 2 * _TRIES])
    pixels = share * image_height * image_width
    widths = tf.round(tf.sqrt(pixels * ratio))  # [n, tries]
    heights = tf.round(tf.sqrt(pixels / ratio))
    fits = (widths > 0) & (widths <= image_width) & (heights > 0) & (heights <= image_height)

    # The first try that fits; where none does, the central box takes the place behind the last try.
    central_height, central_width = _central_box(image_height, image_width, aspect)
    count = tf.shape(uniforms)[0]
    heights = tf.concat([heights, tf.broadcast_to(central_height, [count, 1])], axis=1)
    widths = tf.concat([widths, tf.broadcast_to(central_width, [count, 1])], axis=1)
    first = tf.argmax(tf.cast(tf.pad(fits, [[0, 0], [0, 1]], constant_values=True), tf.int32), axis=1)
    box_height = tf.gather(heights, first, axis=1, batch_dims=1)
    box_width = tf.gather(widths, first, axis=1, batch_dims=1)

    slack_top, slack_left = image_height[:, 0] - box_height, image_width[:, 0] - box_width
    accepted = first < _TRIES
    top = tf.where(accepted, _integer_up_to(slack_top, uniforms[:, -2]), tf.floor(slack_top / 2))
    left = tf.where(accepted, _integer_up_to(slack_left, uniforms[:, -1]), tf.floor(slack_left / 2))
    return tf.cast(tf.stack([top, left, box_height, box_width], axis=1), tf.int32)


def place_window(uniforms: tf.Tensor, slack_top: int | tf.Tensor, slack_left: int | tf.Tensor) -> tf.Tensor:
    """Returns where a window lies in each image, every place equally likely.

    Args:
        uniforms: Random numbers in [0, 1), float32 [n, 2].
        slack_top: How far down the window may lie, pixels, integer [], >= 0.
        slack_left: How far right it may lie, pixels, integer [], >= 0.

    Returns:
        int32 [n, 2] = top, left.
    """
    slack = tf.cast(tf.stack([slack_top, slack_left]), tf.float32)
    return tf.cast(_integer_up_to(slack, uniforms), tf.int32)


def crop_and_resize(
    image: tf.Tensor, box: tf.Tensor, size: tuple[int, int], *, interpolation: str = "bicubic"
) -> tf.Tensor:
    """Returns one box of one image, resized; for the host's input pipeline, where each operation counts.

    Args:
        image: Pixels, uint8 or uint16 [H, W, C].
        box: int32 [4] = top, left, height, width in pixels, inside the image.
        size: Height and width of the result, pixels.
        interpolation: "bicubic" or "bilinear", both antialiased.

    Returns:
        The type of `image`, [size[0], size[1], C].
    """
    kernel = _HOST_KERNELS[interpolation]
    channels = image.shape[-1]
    height, width = size
    crop = tf.slice(image, [box[0], box[1], 0], [box[2], box[3], -1])  # Cut first: the kernel ends at the border.
    sides = tf.cast(box[2:], tf.float32)
    # Each axis in its turn as the rows of an image one pixel wide, all else in its channels: there the kernel adds long
    # vectors, where the columns of an image give it C numbers at a time. Three times faster, and the same bits.
    rows = _resize_rows(tf.reshape(crop, tf.stack([1, box[2], 1, -1])), height, height / sides[0], kernel)
    rows = tf.transpose(tf.reshape(rows, [height, -1, channels]), [1, 0, 2])  # [box width, height, C]
    rows = _resize_rows(tf.reshape(rows, [1, -1, 1, height * channels]), width, width / sides[1], kernel)
    resized = tf.transpose(tf.reshape(rows, [width, height, channels]), [1, 0, 2])
    resized = tf.clip_by_value(resized + 0.5, 0.0, float(image.dtype.max))
    return tf.cast(resized, image.dtype)  # The cast cuts, so half rounds up.


def _resize_rows(rows: tf.Tensor, size: int, scale: tf.Tensor, kernel: str) -> tf.Tensor:
    """Returns rows [1, H, 1, K] resized to float32 [1, size, 1, K]; scale is size / H."""
    return tf.raw_ops.ScaleAndTranslate(
        images=rows,
        size=[size, 1],
        scale=tf.stack([scale, 1.0]),
        translation=[0.0, 0.0],
        kernel_type=kernel,
        antialias=True,
    )


def random_resized_crop(
    images: tf.Tensor, box: tf.Tensor, size: tuple[int, int], *, interpolation: str = "bicubic"
) -> tf.Tensor:
    """Returns one box of each image, resized; for a batch on the device.

    Args:
        images: float32 [N, H, W, C] in [0, 1].
        box: One box per image, [N, 4] = top, left, height, width in pixels, whole or fractional, inside the image,
            at least one pixel high and wide.
        size: Height and width of the result, pixels.
        interpolation: "bicubic" or "bilinear", both antialiased.

    Returns:
        float32 [N, size[0], size[1], C] in [0, 1].

    Raises:
        ValueError: `images` is not float32 of rank 4.
    """
    images = check_images(images)
    box = tf.cast(box, tf.float32)
    kernel = _KERNELS[interpolation]
    height, width, channels = images.shape[1:]
    vertical = _resampling_matrices(box[:, 0], box[:, 2], height, size[0], kernel)  # [N, h, H]
    horizontal = _resampling_matrices(box[:, 1], box[:, 3], width, size[1], kernel)  # [N, w, W]
    rows = tf.matmul(vertical, tf.reshape(images, [-1, height, width * channels]))  # [N, h, W * C]
    rows = tf.transpose(tf.reshape(rows, [-1, size[0], width, channels]), [0, 2, 1, 3])  # [N, W, h, C]
    resized = tf.matmul(horizontal, tf.reshape(rows, [-1, width, size[0] * channels]))  # [N, w, h * C]
    resized = tf.transpose(tf.reshape(resized, [-1, size[1], size[0], channels]), [0, 2, 1, 3])
    return tf.clip_by_value(resized, 0.0, 1.0)  # The cubic kernel overshoots at edges.


def _resampling_matrices(
    start: tf.Tensor, length: tf.Tensor, pixels: int, size: int, kernel: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """Returns float32 [N, size, pixels]: row i weighs the input pixels for output pixel i; each row sums to 1."""
    start, length = start[:, tf.newaxis, tf.newaxis], length[:, tf.newaxis, tf.newaxis]  # [N, 1, 1]
    scale = length / size  # Input pixels for one output pixel.
    center = start + (tf.range(size, dtype=tf.float32)[:, tf.newaxis] + 0.5) * scale  # [N, size, 1]
    position = tf.range(pixels, dtype=tf.float32)  # Left border of each input pixel.
    weight = kernel((position + 0.5 - center) / tf.maximum(scale, 1.0))  # [N, size, pixels]
    inside = (position + 1.0 > start) & (position < start + length)
    weight = tf.where(inside, weight, 0.0)
    return weight / tf.reduce_sum(weight, axis=-1, keepdims=True)


def _cubic(distance: tf.Tensor) -> tf.Tensor:
    """Keys' kernel with a = -0.5 at a distance in pixels."""
    x = tf.abs(distance)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return tf.where(x < 1.0, near, tf.where(x < 2.0, far, 0.0))


def _linear(distance: tf.Tensor) -> tf.Tensor:
    """A triangle of half width 1 at a distance in pixels."""
    return tf.maximum(1.0 - tf.abs(distance), 0.0)


# Names as Pillow has them -> the kernel, and its name in TensorFlow's operation.
_KERNELS = {"bicubic": _cubic, "bilinear": _linear}
_HOST_KERNELS = {"bicubic": "keyscubic", "bilinear": "triangle"}


def _central_box(height: tf.Tensor, width: tf.Tensor, aspect: tuple[float, float]) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns height and width of the largest box whose width / height is the image's, clamped to the range."""
    low, high = tf.constant(aspect[0], tf.float32), tf.constant(aspect[1], tf.float32)
    return (
        tf.where(width / height < low, tf.round(width / low), height),
        tf.where(width / height > high, tf.round(height * high), width),
    )


def _integer_up_to(largest: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """Returns a whole float32 in [0, largest]; the minimum catches the product's rounding up to `largest` + 1."""
    return tf.minimum(tf.floor(uniform * (largest + 1.0)), largest)


def _column(value: int | tf.Tensor) -> tf.Tensor:
    return tf.reshape(tf.cast(value, tf.float32), [-1, 1])
