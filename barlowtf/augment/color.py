"""Brightness, contrast, saturation, hue and grayscale, each with one factor per example.

Every linear operation is a blend f * image + (1 - f) * g, cut to [0, 1], with g = black (brightness), the mean of the
grayscale image (contrast) or the grayscale image (saturation).

Source: torchvision.transforms.functional.
"""

import tensorflow as tf

from barlowtf.augment.planes import check_images, per_example, to_images, to_planes

# ITU-R 601-2 luma, as in Pillow.
_GRAY_WEIGHTS = (0.299, 0.587, 0.114)


def adjust_brightness(images: tf.Tensor, factor: tf.Tensor | float) -> tf.Tensor:
    """Returns images times a factor, cut to [0, 1].

    Args:
        images: float32 [N, H, W, C] in [0, 1].
        factor: [N] or scalar, >= 0; 0 is black, 1 changes nothing.

    Returns:
        float32 [N, H, W, C] in [0, 1].

    Raises:
        ValueError: `images` is not float32 of rank 4.
    """
    return tf.clip_by_value(check_images(images) * per_example(factor), 0.0, 1.0)


def adjust_contrast(images: tf.Tensor, factor: tf.Tensor | float) -> tf.Tensor:
    """Returns images blended with the mean of their grayscale image, cut to [0, 1].

    Args:
        images: float32 [N, H, W, C] in [0, 1]. Without three channels the mean is over all channels.
        factor: [N] or scalar, >= 0; 0 is the mean, 1 changes nothing.

    Returns:
        float32 [N, H, W, C] in [0, 1].

    Raises:
        ValueError: `images` is not float32 of rank 4.
    """
    factor = per_example(factor)
    planes = to_planes(check_images(images))
    mean = tf.reduce_mean(gray_plane(planes), axis=[2, 3], keepdims=True)
    return to_images(blend(planes, factor, (1.0 - factor) * mean))


def adjust_saturation(images: tf.Tensor, factor: tf.Tensor | float) -> tf.Tensor:
    """Returns images blended with their grayscale image, cut to [0, 1].

    Args:
        images: float32 [N, H, W, 3] in [0, 1].
        factor: [N] or scalar, >= 0; 0 is grayscale, 1 changes nothing.

    Returns:
        float32 [N, H, W, 3] in [0, 1].

    Raises:
        ValueError: `images` is not float32 of rank 4 with three channels.
    """
    factor = per_example(factor)
    planes = to_planes(check_images(images, channels=3))
    return to_images(blend(planes, factor, (1.0 - factor) * gray_plane(planes)))


def adjust_hue(images: tf.Tensor, factor: tf.Tensor | float) -> tf.Tensor:
    """Returns images with their hue turned; value and saturation stay.

    Args:
        images: float32 [N, H, W, 3] in [0, 1].
        factor: Turns, [N] or scalar, in [-0.5, 0.5], rounded toward 0 to steps of 1/256 as in the authors' code,
            where Pillow stores hue in a byte; 0 changes nothing but for rounding.

    Returns:
        float32 [N, H, W, 3] in [0, 1].

    Raises:
        ValueError: `images` is not float32 of rank 4 with three channels.
    """
    return to_images(shift_hue(to_planes(check_images(images, channels=3)), per_example(factor)))


def grayscale(images: tf.Tensor) -> tf.Tensor:
    """Returns grayscale images of three equal channels.

    Args:
        images: float32 [N, H, W, 3] in [0, 1].

    Returns:
        float32 [N, H, W, 3] in [0, 1].

    Raises:
        ValueError: `images` is not float32 of rank 4 with three channels.
    """
    planes = to_planes(check_images(images, channels=3))
    return to_images(tf.repeat(gray_plane(planes), 3, axis=1))


def gray_plane(planes: tf.Tensor) -> tf.Tensor:
    """Returns the luma of planes [N, 3, H, W], or the mean of another number of planes, as float32 [N, 1, H, W]."""
    if planes.shape[1] == 1:
        return planes
    if planes.shape[1] != 3:
        return tf.reduce_mean(planes, axis=1, keepdims=True)
    red, green, blue = tf.split(planes, 3, axis=1)
    return _GRAY_WEIGHTS[0] * red + _GRAY_WEIGHTS[1] * green + _GRAY_WEIGHTS[2] * blue


def blend(planes: tf.Tensor, factor: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Returns factor * planes + offset, cut to [0, 1]; with factor 1 and offset 0 the planes, bit for bit."""
    return tf.clip_by_value(planes * factor + offset, 0.0, 1.0)


def shift_hue(planes: tf.Tensor, turns: tf.Tensor) -> tf.Tensor:
    """Returns planes [N, 3, H, W] with their hue turned by `turns`, [N or 1, 1, 1, 1], like `adjust_hue`."""
    steps = turns * 255.0  # torchvision: a factor of 1 is 255 of Pillow's 256 steps.
    turns = tf.sign(steps) * tf.floor(tf.abs(steps)) / 256.0
    red, green, blue = tf.split(planes, 3, axis=1)
    value = tf.maximum(tf.maximum(red, green), blue)
    chroma = value - tf.minimum(tf.minimum(red, green), blue)
    # Hue in sixths of a turn: red 0, green 2, blue 4. Where chroma is 0 hue is undefined and has no effect.
    inverse = tf.math.reciprocal(tf.where(chroma > 0.0, chroma, 1.0))
    # Not by equality with the maximum: a compiler may compute a channel twice and round it in two ways. Near a tie the
    # branches agree.
    sixths = tf.where(
        red >= tf.maximum(green, blue),
        (green - blue) * inverse,
        tf.where(green >= blue, (blue - red) * inverse + 2.0, (red - green) * inverse + 4.0),
    )
    sixths += 6.0 * turns
    # Channel with offset k is value - chroma * clip(min(p, 4 - p), 0, 1), p = (k + hue) mod 6: a trapezoid in hue.
    channels = []
    for offset in (5.0, 3.0, 1.0):
        position = sixths + offset
        position -= 6.0 * tf.floor(position * (1 / 6))
        channels.append(value - chroma * tf.clip_by_value(tf.minimum(position, 4.0 - position), 0.0, 1.0))
    return tf.concat(channels, axis=1)
