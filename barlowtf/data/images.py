"""Encoded or decoded images as a viewer shows them, with the channels and bits of a recipe.

An image whose header says that it has more pixels than the recipe allows is not decoded, and counts as no image.

JPEG, and PNG of 8 bits without transparency, are decoded by TensorFlow, without Python and its lock; all other files by
Pillow, tifffile or NumPy (`barlowtf.data.stored`) in the threads that read. Both give the same numbers.
"""

import functools
import os
import re
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from barlowtf.data.headers import other_pixels, png_pixels, within
from barlowtf.data.orientation import jpeg_orientation, png_orientation, turned
from barlowtf.data.python_image import image_by_python
from barlowtf.data.rendering import EIGHT_BITS, Rendering, render
from barlowtf.data.source import Source
from barlowtf.data.stored import read_jpeg_orientation, read_stored
from barlowtf.errors import BarlowTFError, DataError

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
# What decides about a file lies in its first bytes, read as numbers of 16 bits, big-endian. Most JPEG files begin with
# a mark, the segment JFIF (its mark and 16, its length), and then quantization tables, a frame or Huffman tables.
_HEAD_BYTES, _JFIF_PLACES = 26, (0, 1, 2, 10)
_PLAIN_JFIF = [(0xFFD8, 0xFFE0, 16, mark) for mark in (0xFFDB, 0xFFC0, 0xFFC1, 0xFFC2, 0xFFC4)]
# Place of a PNG file's bits and color type, upper and lower half of a number; bit 4 of the color type is alpha.
_PNG_KIND, _PNG_ALPHA = 12, 4
# Its chunks of an orientation and of a transparent color.
_PNG_CHUNKS = ("eXIf", "tRNS")


def decode(image: tf.Tensor, channels: int, rendering: Rendering = EIGHT_BITS) -> tf.Tensor:
    """Returns an image as a viewer shows it: upright, a palette's colors, transparent parts over a background.

    JPEG, PNG, WebP, TIFF, GIF, BMP, `.npy` and what else Pillow reads; of an animation or several pages the first.
    `barlowtf.data.rendering.render` says how channels and bits become those of the result.

    Args:
        image: Encoded image, string [], or decoded ones, uint8, uint16 or float32 in [0, 1], [H, W, C] or [n, H, W, C]
            with C known.
        channels: Channels of the result, >= 1.
        rendering: Bits, white and background of the result.

    Returns:
        uint8, or uint16 where `rendering.depth` is 16, [H, W, channels] or [n, H, W, channels].

    Raises:
        ValueError: `image` is neither.
        DataError: A decoded image has a number of channels that cannot become `channels`.
        tf.errors.InvalidArgumentError: The bytes are not an image, or the image has another number of channels
            (when the graph runs).
    """
    if image.dtype == tf.string:
        if tf.executing_eagerly():
            return _decode_bytes(image, channels, rendering, _orientation_by_python, _png_or_by_python)
        return _decoder(channels, rendering)(image)
    if image.dtype not in (tf.uint8, tf.uint16, tf.float32) or image.shape.rank not in (3, 4) or not image.shape[-1]:
        raise ValueError(
            f"Invalid image: received {image.dtype.name} {image.shape}, "
            "expected string [], or uint8, uint16 or float32 [H, W, C] or [n, H, W, C]."
        )
    return render(image, channels, rendering)


def decode_in_graph(encoded: tf.Tensor, channels: int, rendering: Rendering = EIGHT_BITS) -> tf.Tensor:
    """Returns what `decode` does, by operations of TensorFlow alone, for exported models.

    JPEG and PNG as `decode` has them. BMP, GIF and WebP as TensorFlow decodes them: without palettes in BMP, without
    transparency in GIF and without EXIF in WebP. Other formats are not images here.

    Args:
        encoded: Encoded image, string [].
        channels: Channels of the result, >= 1.
        rendering: Bits, white and background of the result.

    Returns:
        uint8 or uint16 [H, W, channels].

    Raises:
        tf.errors.InvalidArgumentError: The bytes are not such an image (when the graph runs).
    """
    return _decode_bytes(encoded, channels, rendering, jpeg_orientation, _png_or_by_tensorflow)


def unreadable_reason(source: Source, index: int, channels: int, rendering: Rendering = EIGHT_BITS) -> str | None:
    """Returns why example `index` cannot be read and decoded, one line, or None when it can."""
    try:
        decode(source.read(tf.constant(index, tf.int64)), channels, rendering)
    except BarlowTFError:
        raise
    # What reads an image in Python, a user's own source too, may raise anything.
    except Exception as error:
        return reason_of_image(error)
    return None


def reason_of(error: Exception) -> str:
    """Returns why an image cannot be read or decoded, one line."""
    text = error.message if isinstance(error, tf.errors.OpError) else str(error)
    # Eager errors carry the node's name in front and the operation behind; neither helps a reader.
    reason = re.sub(r"\{\{.*?\}\}\s*|\s*\[Op:\w+\].*", "", text).strip().partition("\n")[0].strip()
    reason = reason or type(error).__name__
    return reason.removeprefix("ValueError: ")


def reason_of_image(error: Exception) -> str:
    """Returns why an image cannot be read or decoded, without the path of its file, which whoever asks knows."""
    reason = reason_of(error)
    # "/photos/a.png; Permission denied"
    path, of_file, why = reason.rpartition("; ")
    return why if of_file and os.path.isabs(path) else reason


_OfJpeg = Callable[[tf.Tensor], tf.Tensor]
_OfRest = Callable[[tf.Tensor, tf.Tensor, int, Rendering], tf.Tensor]


@functools.cache
def _decoder(channels: int, rendering: Rendering) -> tf.types.experimental.GenericFunction:
    """Returns the decoder as a function that is traced once per process: each of many input pipelines calls it."""

    def decoded(encoded: tf.Tensor) -> tf.Tensor:
        return _decode_bytes(encoded, channels, rendering, _orientation_by_python, _png_or_by_python)

    return tf.function(decoded, [tf.TensorSpec([], tf.string)], autograph=False)


def _decode_bytes(
    encoded: tf.Tensor, channels: int, rendering: Rendering, orientation: _OfJpeg, of_rest: _OfRest
) -> tf.Tensor:
    # Shorter files are filled with zeros.
    head = tf.io.decode_raw(encoded, tf.uint16, little_endian=False, fixed_length=_HEAD_BYTES)

    def jpeg() -> tf.Tensor:
        shape = tf.cast(tf.io.extract_jpeg_shape(encoded), tf.int64)
        content = within(encoded, shape[0] * shape[1], rendering.max_pixels)
        # The accurate transform gives Pillow's pixels bit for bit and is not slower than TensorFlow's default.
        stored = tf.io.decode_jpeg(content, channels=_asked(channels), dct_method="INTEGER_ACCURATE")
        return render(_of_channels(stored, channels), channels, rendering)

    def other() -> tf.Tensor:
        is_jpeg = tf.strings.substr(encoded, 0, len(_JPEG)) == _JPEG
        return tf.cond(
            is_jpeg,
            lambda: turned(jpeg(), orientation(encoded)),
            lambda: of_rest(encoded, head, channels, rendering),
        )

    # Most JPEG files have no EXIF: they are told by few operations, and nothing else is asked of them.
    is_plain = tf.reduce_any(tf.reduce_all(tf.gather(head, _JFIF_PLACES) == _PLAIN_JFIF, axis=1))
    return tf.ensure_shape(tf.cond(is_plain, jpeg, other), [None, None, channels])


def _orientation_by_python(encoded: tf.Tensor) -> tf.Tensor:
    if tf.executing_eagerly():
        return tf.constant(read_jpeg_orientation(encoded.numpy()))
    # One operation, where `jpeg_orientation` has many: each of many input pipelines is optimized anew.
    orientation = tf.numpy_function(
        lambda content: np.int32(read_jpeg_orientation(content)), [encoded], tf.int32, stateful=False
    )
    return tf.ensure_shape(orientation, [])


def _png_or_by_python(encoded: tf.Tensor, head: tf.Tensor, channels: int, rendering: Rendering) -> tf.Tensor:
    def plain_png() -> tf.Tensor:
        content = within(encoded, png_pixels(head), rendering.max_pixels)
        return render(_of_channels(tf.io.decode_png(content, _asked(channels)), channels), channels, rendering)

    # An alpha channel, a transparent color, an orientation and 16 bits ask for more than the decoder gives; the letters
    # of the chunks may also stand in other data, which costs a little time and nothing else.
    is_plain = (
        (tf.strings.substr(encoded, 0, len(_PNG)) == _PNG)
        & ~_is_deep(head)
        & ~_has_alpha(head)
        & ~tf.strings.regex_full_match(encoded, rf"(?s)\C*(?:{'|'.join(_PNG_CHUNKS)})\C*")
    )
    return tf.cond(is_plain, plain_png, lambda: _by_python(encoded, channels, rendering))


def _by_python(encoded: tf.Tensor, channels: int, rendering: Rendering) -> tf.Tensor:
    def image(content: bytes) -> np.ndarray:
        stored = read_stored(content, rendering.max_pixels)
        with tf.device("CPU:0"):
            try:
                rendered = render(tf.constant(stored.pixels), channels, rendering, has_alpha=stored.has_alpha)
            except DataError as error:
                raise ValueError(str(error)) from error
            return rendered.numpy()

    return image_by_python(image, encoded, rendering.dtype)


def _png_or_by_tensorflow(encoded: tf.Tensor, head: tf.Tensor, channels: int, rendering: Rendering) -> tf.Tensor:
    def png(dtype: tf.DType, with_alpha: bool) -> tf.Tensor:
        asked = _asked(channels) + with_alpha if channels in (1, 3) else 0
        content = within(encoded, png_pixels(head), rendering.max_pixels)
        stored = tf.ensure_shape(tf.io.decode_png(content, asked, dtype), [None, None, asked or channels])
        return render(stored, channels, rendering)

    def any_png() -> tf.Tensor:
        has_exif, has_transparent = (tf.strings.regex_full_match(encoded, rf"(?s)\C*{name}\C*") for name in _PNG_CHUNKS)
        # Not always: asked for alpha, TensorFlow gives wrong colors of a palette that has none.
        has_alpha = _has_alpha(head) | has_transparent
        kinds = [
            functools.partial(png, dtype, with_alpha) for dtype in (tf.uint8, tf.uint16) for with_alpha in (False, True)
        ]
        image = tf.switch_case(2 * tf.cast(_is_deep(head), tf.int32) + tf.cast(has_alpha, tf.int32), kinds)
        return tf.cond(has_exif, lambda: turned(image, png_orientation(encoded)), lambda: image)

    def other() -> tf.Tensor:
        content = within(encoded, other_pixels(encoded), rendering.max_pixels)
        stored = tf.io.decode_image(content, channels=_asked(channels), expand_animations=False)
        return render(_of_channels(stored, channels), channels, rendering)

    return tf.cond(tf.strings.substr(encoded, 0, len(_PNG)) == _PNG, any_png, other)


def _is_deep(head: tf.Tensor) -> tf.Tensor:
    """Returns whether a PNG file has 16 bits, bool []."""
    return head[_PNG_KIND] >= 16 * 256


def _has_alpha(head: tf.Tensor) -> tf.Tensor:
    """Returns whether a PNG file has an alpha channel, bool []."""
    return tf.bitwise.bitwise_and(head[_PNG_KIND], _PNG_ALPHA) > 0


def _asked(channels: int) -> int:
    """Returns the channels to ask a decoder for: colors for 1 and 3, else what the file has (0)."""
    return 3 if channels in (1, 3) else 0


def _of_channels(stored: tf.Tensor, channels: int) -> tf.Tensor:
    return tf.ensure_shape(stored, [None, None, _asked(channels) or channels])
