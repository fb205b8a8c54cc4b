"""The eight orientations of EXIF: how the rows and columns of a stored image lie when a viewer shows it.

A camera that is held upright writes its rows as the sensor has them, and the orientation beside them, a number of 1 to
8 (EXIF 2.32, tag 0x0112). Each is at most one transposition, then at most two mirrorings.
"""

import numpy as np
import tensorflow as tf

UPRIGHT = 1
_TRANSPOSED = (5, 6, 7, 8)
_ROWS_REVERSED = (3, 4, 7, 8)
_COLUMNS_REVERSED = (2, 3, 6, 7)
# The tag, its type (a 16-bit number) and count (1), as they stand in a directory entry of 12 bytes.
_ENTRY = (0x0112, 3, 1)
# EXIF lies before the image data, mostly in the first segment; one segment has at most so many bytes.
_SEARCHED_BYTES = 65536


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Returns an image as a viewer shows it, a view of the same memory.

    Args:
        pixels: [H, W, C] as stored.
        orientation: EXIF's number; outside 1 to 8 it means nothing, and the image stays as it is.

    Returns:
        [H, W, C], or [W, H, C] where the orientation turns the image by a quarter.

    Source: EXIF 2.32, table of tag 0x0112.
    """
    if orientation in _TRANSPOSED:
        pixels = pixels.swapaxes(0, 1)
    if orientation in _ROWS_REVERSED:
        pixels = pixels[::-1]
    if orientation in _COLUMNS_REVERSED:
        pixels = pixels[:, ::-1]
    return pixels


def turned(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Returns what `upright` does, inside `tf.data` and exported models.

    Args:
        image: [H, W, C] of any type, C known.
        orientation: int32 [].
    """
    is_transposed = tf.reduce_any(orientation == _TRANSPOSED)
    image = tf.cond(is_transposed, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    is_reversed = [tf.reduce_any(orientation == those) for those in (_ROWS_REVERSED, _COLUMNS_REVERSED)]
    return tf.reverse(image, tf.boolean_mask([0, 1], tf.stack(is_reversed)))


def jpeg_orientation(encoded: tf.Tensor) -> tf.Tensor:
    """Returns the orientation of a JPEG file, int32 []; 1 where it says none in its first 64 KiB.

    Args:
        encoded: The file, string [].
    """
    return _behind(tf.strings.substr(encoded, 0, _SEARCHED_BYTES), b"Exif\0\0")


def png_orientation(encoded: tf.Tensor) -> tf.Tensor:
    """Returns the orientation of a PNG file, int32 []; 1 where it says none.

    Args:
        encoded: The file, string [].
    """
    return _behind(encoded, b"eXIf")


def _behind(content: tf.Tensor, mark: bytes) -> tf.Tensor:
    """Returns the orientation in the EXIF data behind the first `mark`."""
    parts = tf.strings.split(content, mark, maxsplit=1)
    return tf.cond(tf.size(parts) > 1, lambda: _first_directory(parts[-1]), lambda: tf.constant(UPRIGHT))


def _first_directory(tiff: tf.Tensor) -> tf.Tensor:
    """Returns the orientation in the first directory of TIFF data, string []; 1 where there is none."""
    # EXIF has the form of a TIFF file: byte order, 42, place of the first directory; there the number of its entries,
    # then the entries: tag, type, count, value.
    data = tf.cast(tf.io.decode_raw(tf.strings.substr(tiff, 0, _SEARCHED_BYTES), tf.uint8), tf.int32)
    is_big = tf.strings.substr(tiff, 0, 2) == b"MM"
    data = tf.concat([data, tf.zeros([14], tf.int32)], axis=0)

    def number(place: tf.Tensor | int, count: int) -> tf.Tensor:
        taken = data[place : place + count]
        taken = tf.cond(is_big, lambda: taken, lambda: taken[::-1])
        return tf.reduce_sum(taken * tf.constant([256**power for power in reversed(range(count))]))

    last = tf.size(data) - 14
    start = tf.clip_by_value(number(4, 4), 0, last)
    entries = tf.minimum(number(start, 2), (last - start) // 12)
    table = tf.reshape(data[start + 2 : start + 2 + 12 * entries], [-1, 12])
    places = tf.cond(is_big, lambda: tf.range(12), lambda: tf.constant([1, 0, 3, 2, 7, 6, 5, 4, 9, 8, 11, 10]))
    table = tf.gather(table, places, axis=1)
    head = tf.constant([byte for value, size in zip(_ENTRY, (2, 2, 4), strict=True) for byte in value.to_bytes(size)])
    found = tf.reduce_all(table[:, :8] == head, axis=1)
    values = tf.boolean_mask(table[:, 8] * 256 + table[:, 9], found)
    return tf.concat([values, [UPRIGHT]], axis=0)[0]
