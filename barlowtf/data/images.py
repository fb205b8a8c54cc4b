"""Encoded or decoded images to uint8 with the channels of a recipe."""

import re

import tensorflow as tf

from barlowtf.data.source import Source
from barlowtf.errors import DataError

# ITU-R BT.601, as PIL and JPEG use it.
_LUMA = (0.299, 0.587, 0.114)


def decode(image: tf.Tensor, channels: int) -> tf.Tensor:
    """Returns an image as uint8 with `channels` channels.

    JPEG, PNG, BMP and GIF (first frame). Grayscale becomes color by repetition, color becomes grayscale by luma,
    alpha is dropped, 16 bits become the upper 8. Other numbers of channels must be that of the image.

    Args:
        image: Encoded image, string [], or decoded ones, uint8 [H, W, C] or [n, H, W, C] with C known.
        channels: Channels of the result, >= 1.

    Returns:
        uint8 [H, W, channels] or [n, H, W, channels].

    Raises:
        ValueError: `image` is neither.
        DataError: A decoded image has a number of channels that cannot become `channels`.
        tf.errors.InvalidArgumentError: The bytes are not an image, or the image has another number of channels
            (when the graph runs).
    """
    if image.dtype == tf.string:
        return _decode_bytes(image, channels)
    if image.dtype != tf.uint8 or image.shape.rank not in (3, 4) or image.shape[-1] is None:
        raise ValueError(
            f"Invalid image: received {image.dtype.name} {image.shape}, "
            "expected string [] or uint8 [H, W, C] or [n, H, W, C]."
        )
    return _convert(image, channels)


def unreadable_reason(source: Source, index: int, channels: int) -> str | None:
    """Returns why example `index` cannot be read and decoded, one line, or None when it can."""
    try:
        decode(source.read(tf.constant(index, tf.int64)), channels)
    except tf.errors.OpError as error:
        # Eager errors carry the node's name in front and the operation behind; neither helps a reader.
        return re.sub(r"\{\{.*?\}\}\s*|\s*\[Op:\w+\].*", "", error.message).partition("\n")[0].strip()
    return None


def _decode_bytes(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    if channels in (1, 3):
        # The decoder gives three channels for every format; one it refuses for BMP, GIF and CMYK JPEG.
        image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        return _convert(tf.ensure_shape(image, [None, None, 3]), channels)
    return tf.ensure_shape(tf.io.decode_image(encoded, channels=0, expand_animations=False), [None, None, channels])


def _convert(image: tf.Tensor, channels: int) -> tf.Tensor:
    """Returns uint8 [..., channels] from uint8 [..., C], C known."""
    received = image.shape[-1]
    if received == channels:
        return image
    if channels in (1, 3) and received in (2, 4):
        return _convert(image[..., : received - 1], channels)
    if channels == 3 and received == 1:
        return tf.repeat(image, 3, axis=-1)
    if channels == 1 and received == 3:
        luma = tf.reduce_sum(tf.cast(image, tf.float32) * tf.constant(_LUMA), axis=-1, keepdims=True)
        return tf.cast(luma + 0.5, tf.uint8)
    raise DataError(
        f"Invalid images: received {received} channels, expected {channels}; only grayscale, RGB and their alpha are "
        f"converted. Set data.channels to {received}."
    )
