"""An image as its file stores it: all channels and bits, for files that TensorFlow does not decode, or only in part.

Pillow reads what it can read whole; tifffile the TIFF files of more than 8 bits or other numbers of channels; NumPy its
own `.npy` files.
"""

import io
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from PIL import Image, UnidentifiedImageError

from barlowtf.data.orientation import UPRIGHT, upright
from barlowtf.data.pixels import as_pixels, pixels_of, require_pixels
from barlowtf.data.rendering import EIGHT_BITS
from barlowtf.data.tiff import read_tiff

_ORIENTATION = 0x0112


@dataclass(frozen=True)
class StoredImage:
    """The pixels of a file, upright.

    Attributes:
        kind: The file's format: "JPEG".
        pixels: uint8, uint16, or float32 in [0, 1], [H, W, C]. Colors of a palette and of CMYK are RGB.
        has_alpha: Whether the last channel is alpha, not multiplied into the others.
    """

    kind: str
    pixels: np.ndarray
    has_alpha: bool


def read_stored(encoded: bytes, max_pixels: int = EIGHT_BITS.max_pixels) -> StoredImage:
    """Returns the image in a file's bytes; of an animation or a stack of pages the first.

    Args:
        encoded: The whole file.
        max_pixels: Pixels that it may have; what its header says is compared before it is decoded.

    Raises:
        ValueError: The bytes are no image, one of more pixels, or one whose pixels are not numbers of 8 or 16 bits or
            floats in [0, 1]; the message is one line.
    """
    try:
        if encoded.startswith(b"\x93NUMPY"):
            return _read_npy(encoded, max_pixels)
        if encoded[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return StoredImage("TIFF", *read_tiff(encoded, max_pixels))
        with Image.open(io.BytesIO(encoded)) as image:
            require_pixels(image.width * image.height, max_pixels)
            return _read_pillow(image, encoded)
    except Image.DecompressionBombError:
        # Of Pillow, which looks at the header, too; its limit is beyond what a recipe allows.
        raise ValueError(f"The image has more than {max_pixels:,} pixels, the value of data.max_pixels") from None
    except UnidentifiedImageError as error:
        raise ValueError(f"Unknown image format: received bytes that begin with {encoded[:8]!r}") from error
    except ValueError:
        raise
    # Decoders meet damaged files with errors of many kinds: OSError, SyntaxError, struct.error, KeyError, ...
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        raise ValueError(f"Damaged file: {type(error).__name__}: {lines[0]}") from error


def read_jpeg_orientation(encoded: bytes) -> int:
    """Returns the orientation of a JPEG file, 1 where it says none."""
    try:
        with Image.open(io.BytesIO(encoded), formats=("JPEG",)) as image:
            return int(image.getexif().get(_ORIENTATION, UPRIGHT))
    # Cameras and editors write EXIF in many wrong ways, which Pillow meets with errors of as many kinds.
    except Exception:
        return UPRIGHT


def _read_npy(encoded: bytes, max_pixels: int) -> StoredImage:
    # Not compressed: an array is no larger than its file.
    pixels = as_pixels(np.load(io.BytesIO(encoded), allow_pickle=False))
    require_pixels(pixels.shape[0] * pixels.shape[1], max_pixels)
    return StoredImage("NPY", pixels, False)


def _read_pillow(image: Image.Image, encoded: bytes) -> StoredImage:
    kind = image.format or "unknown"
    orientation = image.getexif().get(_ORIENTATION, UPRIGHT)
    if kind == "PNG" and encoded[24:25] == b"\x10":
        # Pillow cuts color of 16 bits down to 8.
        pixels = tf.io.decode_png(encoded, dtype=tf.uint16).numpy()
        has_alpha = pixels.shape[2] in (2, 4)
    else:
        pixels, has_alpha = pixels_of(image)
    return StoredImage(kind, upright(pixels, orientation), has_alpha)
