"""How many pixels an encoded image has, from its first bytes, by operations of TensorFlow: a bomb is not decoded."""

import tensorflow as tf

# Bytes in which every format below says its size.
_BYTES = 30


def within(encoded: tf.Tensor, pixels: tf.Tensor, limit: int) -> tf.Tensor:
    """Returns the bytes of an image that may be decoded; of one with too many pixels none, which no decoder takes.

    A graph may drop its assertions, but not the argument of a decoder.

    Args:
        encoded: Encoded image, string [].
        pixels: What its header says, int64 [].
        limit: How many it may have.

    Raises:
        tf.errors.InvalidArgumentError: It has more, and this runs eagerly: the message says so.
    """
    if not tf.executing_eagerly():
        return tf.where(pixels <= limit, encoded, tf.constant(b""))
    if pixels > limit:
        message = f"The image has {int(pixels):,} pixels, expected at most {limit:,}, the value of data.max_pixels"
        raise tf.errors.InvalidArgumentError(None, None, message)
    return encoded


def png_pixels(head: tf.Tensor) -> tf.Tensor:
    """Returns height times width of a PNG file, int64 [].

    Args:
        head: Its first bytes as numbers of 16 bits, big-endian, uint16 [>= 12].
    """
    words = tf.cast(head[8:12], tf.int64)
    # A number of 32 bits times another would not fit into one of 64 where it is signed; PNG allows 31.
    return _product(words[0] * 65536 + words[1], words[2] * 65536 + words[3])


def other_pixels(encoded: tf.Tensor) -> tf.Tensor:
    """Returns height times width of a BMP, GIF or WebP file, int64 []; 0 for other bytes.

    Args:
        encoded: Encoded image, string [].

    Source: the formats' own descriptions; of WebP, RFC 9649, sections 2.5 to 2.7.
    """
    head = tf.cast(tf.io.decode_raw(encoded, tf.uint8, fixed_length=_BYTES), tf.int64)

    def number(first: int, count: int) -> tf.Tensor:
        """Returns the number in some bytes, the least significant first."""
        return tf.reduce_sum(head[first : first + count] * [256**place for place in range(count)])

    def begins(first: int, text: bytes) -> tf.Tensor:
        return tf.reduce_all(head[first : first + len(text)] == list(text))

    bmp = _product(_absolute(number(18, 4)), _absolute(number(22, 4)))
    gif = _product(number(6, 2), number(8, 2))
    lossy = _product(number(26, 2) % 16384, number(28, 2) % 16384)
    lossless = _product(number(21, 4) % 16384 + 1, number(21, 4) // 16384 % 16384 + 1)
    extended = _product(number(24, 3) + 1, number(27, 3) + 1)
    webp = begins(0, b"RIFF") & begins(8, b"WEBP")
    found = tf.constant(0, tf.int64)
    for kind, pixels in (
        (begins(0, b"BM"), bmp),
        (begins(0, b"GIF8"), gif),
        (webp & begins(12, b"VP8 "), lossy),
        (webp & begins(12, b"VP8L"), lossless),
        (webp & begins(12, b"VP8X"), extended),
    ):
        found = tf.where(kind, pixels, found)
    return found


def _product(height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Returns a product of two numbers below 2^32, at most the largest of 63 bits."""
    return tf.where(height > 2**31, tf.constant(2**62, tf.int64), height * tf.minimum(width, 2**31))


def _absolute(number: tf.Tensor) -> tf.Tensor:
    """Returns a signed number of 32 bits without its sign: the height of a BMP file that begins at its top."""
    return tf.where(number >= 2**31, 2**32 - number, number)
