"""Pixels of Pillow and NumPy as this package takes them: uint8, uint16, or floats in [0, 1], [H, W, C]."""

import numpy as np
from PIL import Image

# Modes of Pillow whose arrays are the pixels themselves, and what the others become without loss of what is seen.
_AS_THEY_ARE = ("L", "RGB", "LA", "RGBA", "I;16")
_CONVERTED = {"1": "L", "P": "RGB", "PA": "RGBA", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB"}
_CONVERTED |= dict.fromkeys(("CMYK", "YCbCr", "HSV", "LAB"), "RGB")


def require_pixels(received: int, limit: int) -> None:
    """Checks what the header of an image says, before the image is decoded.

    Args:
        received: Height times width, pixels.
        limit: How many are allowed.

    Raises:
        ValueError: It has more.
    """
    if received > limit:
        raise ValueError(f"The image has {received:,} pixels, expected at most {limit:,}, the value of data.max_pixels")


def pixels_of(image: Image.Image) -> tuple[np.ndarray, bool]:
    """Returns pixels [H, W, C] of an open image as it is stored, and whether the last channel is alpha.

    Raises:
        ValueError: Its pixels are of a kind that has no meaning here.
    """
    if "transparency" in image.info and image.mode in ("1", "L", "P", "RGB"):
        image = image.convert("LA" if image.mode in ("1", "L") else "RGBA")
    if image.mode in _CONVERTED:
        image = image.convert(_CONVERTED[image.mode])
    pixels = np.asarray(image)
    if image.mode.startswith("I"):
        pixels = as_uint16(pixels)
    elif image.mode == "F":
        pixels = require_unit_range(pixels)
    elif image.mode not in _AS_THEY_ARE:
        raise ValueError(f"Received pixels of mode {image.mode}, expected gray, RGB, a palette or CMYK")
    return np.atleast_3d(pixels), image.mode in ("LA", "RGBA")


def as_uint16(pixels: np.ndarray) -> np.ndarray:
    """Returns whole numbers as uint16; raises ValueError where one is not in 0..65535."""
    if pixels.size and not (pixels.min() >= 0 and pixels.max() <= 65535):
        raise ValueError(f"Received pixels from {pixels.min()} to {pixels.max()}, expected 0 to 65535")
    return pixels.astype(np.uint16)


def require_unit_range(pixels: np.ndarray) -> np.ndarray:
    """Returns floats as float32; raises ValueError where one is not in [0, 1]."""
    pixels = pixels.astype(np.float32)
    if pixels.size and not (pixels.min() >= 0.0 and pixels.max() <= 1.0):
        raise ValueError(f"Received floats from {pixels.min():.4g} to {pixels.max():.4g}, expected them in [0, 1]")
    return pixels


def as_pixels(array: np.ndarray) -> np.ndarray:
    """Returns an array [H, W] or [H, W, C] as pixels [H, W, C]: uint8, uint16, or float32 in [0, 1].

    Raises:
        ValueError: It has another shape or kind of numbers.
    """
    if array.ndim not in (2, 3) or not array.size:
        raise ValueError(f"Received an array {list(array.shape)}, expected [H, W] or [H, W, C]")
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind == "f":
        array = require_unit_range(array)
    elif array.dtype.newbyteorder("=") == np.uint16:
        array = array.astype(np.uint16)
    elif array.dtype != np.uint8:
        raise ValueError(f"Received {array.dtype} pixels, expected uint8, uint16, or floats in [0, 1]")
    return array[..., np.newaxis] if array.ndim == 2 else array
