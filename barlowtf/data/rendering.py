"""From pixels as they are stored to pixels as a model learns them: background, channels and bits.

Letters: s a stored value, a its alpha, b the background, w what counts as white.
"""

from dataclasses import dataclass
from typing import Literal

import tensorflow as tf

from barlowtf.config.schema import Data
from barlowtf.errors import DataError

# Weights of ITU-R BT.601 times 65536, as Pillow and JPEG use them.
_LUMA = (19595, 38470, 7471)
_NAMED = {"white": "#ffffff", "black": "#000000"}


@dataclass(frozen=True)
class Rendering:
    """How stored pixels become those that a model learns.

    Attributes:
        depth: Bits of the result, 8 or 16.
        white: The value of 16-bit pixels that counts as white, 255 <= white <= 65535; larger ones are cut to it.
        background: Red, green and blue behind transparent parts, 0 to 255.
        max_pixels: Pixels of an encoded image; one whose header says that it has more is not decoded.
    """

    depth: Literal[8, 16] = 8
    white: int = 65535
    background: tuple[int, int, int] = (255, 255, 255)
    max_pixels: int = Data.model_fields["max_pixels"].default

    @property
    def background_name(self) -> str:
        """The background as #rrggbb."""
        return f"#{bytes(self.background).hex()}"

    @property
    def dtype(self) -> tf.DType:
        """uint8 or uint16."""
        return tf.uint8 if self.depth == 8 else tf.uint16


EIGHT_BITS = Rendering()


def rendering_of(settings: Data) -> Rendering:
    """Returns what a recipe says about pixels."""
    color = bytes.fromhex(_NAMED.get(settings.background, settings.background)[1:])
    return Rendering(settings.depth, settings.white, (color[0], color[1], color[2]), settings.max_pixels)


def render(
    image: tf.Tensor, channels: int, rendering: Rendering = EIGHT_BITS, *, has_alpha: bool | None = None
) -> tf.Tensor:
    """Returns stored pixels as pixels of `channels` channels and `rendering.depth` bits.

    Alpha is laid over the background: (s a + b (1 - a)). Grayscale becomes color by repetition, color becomes grayscale
    by luma. Of 16 bits, s becomes min(s, w) / w of the largest value, rounded; of 8 bits, 16 are made by s * 257. Other
    numbers of channels must be that of the image, where alpha is a channel like the others.

    Args:
        image: uint8, uint16, or float32 in [0, 1], [..., H, W, C] with C known.
        channels: Channels of the result, >= 1.
        rendering: Bits, white and background of the result.
        has_alpha: Whether the last channel is alpha; None: where there are 2 or 4.

    Returns:
        uint8 or uint16 [..., H, W, channels].

    Raises:
        DataError: C cannot become `channels`.
    """
    received = image.shape[-1]
    has_alpha = received in (2, 4) if has_alpha is None else has_alpha
    if received != channels and channels in (1, 3) and has_alpha:
        image = _over_background(image, rendering)
    return _at_depth(_with_channels(image, channels), rendering)


def largest_value(dtype: tf.DType) -> float:
    """Returns what 1.0 is in pixels of a type: 255 or 65535; 1 for floats."""
    return 1.0 if dtype.is_floating else float(dtype.max)


def _over_background(image: tf.Tensor, rendering: Rendering) -> tf.Tensor:
    """Returns [..., C - 1] of the type of `image`, whose last channel is alpha."""
    colors, alpha, dtype = image[..., :-1], image[..., -1:], image.dtype
    one = largest_value(dtype)
    white = rendering.white if dtype == tf.uint16 else one
    background = tf.constant(rendering.background, tf.float32) / 255.0
    if colors.shape[-1] == 1:
        background = tf.reduce_sum(background * tf.constant(_LUMA, tf.float32) / 65536.0, keepdims=True)

    def blended() -> tf.Tensor:
        if dtype.is_floating:
            return colors * alpha + background * (1.0 - alpha)
        wide = tf.int32 if dtype == tf.uint8 else tf.int64
        s, a, b = tf.cast(colors, wide), tf.cast(alpha, wide), tf.cast(tf.round(background * white), wide)
        # The sum over 2^n - 1, rounded, by shifts: many times faster than a division of whole numbers.
        bits = tf.constant(8 * dtype.size, wide)
        total = s * a + b * (int(one) - a) + (int(one) + 1) // 2
        return tf.cast(tf.bitwise.right_shift(total + tf.bitwise.right_shift(total, bits), bits), dtype)

    # Most images with alpha use it nowhere.
    return tf.cond(tf.reduce_all(alpha == tf.cast(one, dtype)), lambda: colors, blended)


def _with_channels(image: tf.Tensor, channels: int) -> tf.Tensor:
    received = image.shape[-1]
    if received == channels:
        return image
    if channels == 3 and received == 1:
        return tf.concat([image] * 3, axis=-1)
    if channels == 1 and received == 3:
        return _luma(image)
    raise DataError(
        f"Invalid images: received {received} channels, expected {channels}; only grayscale, RGB and their alpha are "
        f"converted. Set data.channels to {received}."
    )


def _luma(image: tf.Tensor) -> tf.Tensor:
    """Returns the gray of RGB, [..., 3] -> [..., 1], as Pillow has it bit for bit."""
    if image.dtype.is_floating:
        return tf.reduce_sum(image * tf.constant(_LUMA, image.dtype) / 65536.0, axis=-1, keepdims=True)
    wide = tf.int32 if image.dtype == tf.uint8 else tf.int64
    sums = tf.reduce_sum(tf.cast(image, wide) * tf.constant(_LUMA, wide), axis=-1, keepdims=True)
    return tf.cast(tf.bitwise.right_shift(sums + 32768, tf.constant(16, wide)), image.dtype)


def _at_depth(image: tf.Tensor, rendering: Rendering) -> tf.Tensor:
    dtype, white = rendering.dtype, rendering.white
    if image.dtype.is_floating:
        return tf.cast(tf.round(image * largest_value(dtype)), dtype)
    if image.dtype == tf.uint8:
        return image if dtype == tf.uint8 else tf.cast(tf.cast(image, tf.int32) * 257, dtype)
    if dtype == tf.uint16 and white == dtype.max:
        return image
    wide = tf.int32 if dtype == tf.uint8 else tf.int64
    values = tf.minimum(tf.cast(image, wide), white)
    return tf.cast((values * dtype.max + white // 2) // white, dtype)
