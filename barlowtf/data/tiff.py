"""TIFF files: 8 and 16 bits, floats, any number of channels, interleaved or one plane after the other."""

import io
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from barlowtf.data.orientation import UPRIGHT, upright
from barlowtf.data.pixels import as_pixels, pixels_of, require_pixels

# Tags of TIFF 6.0.
_BITS, _PHOTOMETRIC, _DESCRIPTION, _ORIENTATION, _SAMPLES, _EXTRA_SAMPLES = 258, 262, 270, 274, 277, 338
_WHITE_IS_ZERO = 0
_ALPHA = (1, 2)  # associated and unassociated
# Pillow shows 4 samples of 8 bits as RGB and alpha also where the fourth is another band, as in aerial photographs.
_PILLOW_SAMPLES = (1, 3)


def read_tiff(encoded: bytes, max_pixels: int) -> tuple[np.ndarray, bool]:
    """Returns the pixels of a TIFF file, upright, and whether the last channel is alpha.

    Of several pages the first, unless the file says that its pages are channels (ImageJ and OME do).

    Args:
        encoded: The whole file.
        max_pixels: Pixels that it may have.

    Returns:
        uint8, uint16, or float32 in [0, 1], [H, W, C]; and whether the last channel is alpha.

    Raises:
        ValueError: More pixels, pixels of another kind, or a compression that needs another package.
    """
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            require_pixels(image.width * image.height, max_pixels)
            if _is_plain(image):
                # Pillow turns an image by its orientation itself, when it loads it, for TIFF alone.
                image.load()
                return pixels_of(image)
    except UnidentifiedImageError:
        pass
    return _read_any(encoded, max_pixels)


def _is_plain(image: Image.Image) -> bool:
    """Returns whether Pillow gives all that the first page holds."""
    tags: Any = image.tag_v2  # type: ignore[attr-defined]
    bits, samples = tags.get(_BITS, (1,)), tags.get(_SAMPLES, 1)
    description = str(tags.get(_DESCRIPTION, ""))
    if description.startswith("ImageJ=") or "<OME" in description:
        return False
    if samples == 1:
        # Pillow leaves 16 bits of which zero is white as they are.
        deep = bits[0] == 16 and image.mode.startswith("I;16") and tags.get(_PHOTOMETRIC) != _WHITE_IS_ZERO
        return bits[0] in (1, 2, 4, 8) or deep
    alpha = samples in (2, 4) and tags.get(_EXTRA_SAMPLES, (0,))[0] in _ALPHA
    is_cmyk = image.mode == "CMYK" and samples == 4
    return set(bits) == {8} and (samples in _PILLOW_SAMPLES or alpha or is_cmyk)


def _read_any(encoded: bytes, max_pixels: int) -> tuple[np.ndarray, bool]:
    """Returns the pixels of a file as tifffile reads them."""
    import tifffile

    with tifffile.TiffFile(io.BytesIO(encoded)) as file:
        page, series = file.pages.first, file.series[0]
        require_pixels(page.imagewidth * page.imagelength, max_pixels)
        whole = "C" in series.axes
        try:
            array, axes = (series.asarray(), series.axes) if whole else (page.asarray(), page.axes)
        except ValueError as error:
            if "imagecodecs" in str(error):
                raise ValueError(
                    f"Received a TIFF file of compression {page.compression!s}; install the package imagecodecs"
                ) from error
            raise
        bits = page.bitspersample if isinstance(page.bitspersample, int) else max(page.bitspersample)
        orientation = page.tags.valueof(_ORIENTATION, UPRIGHT)
        is_inverted = page.tags.valueof(_PHOTOMETRIC) == _WHITE_IS_ZERO
        extra = page.tags.valueof(_EXTRA_SAMPLES, ())
    pixels = _channels_last(array, axes)
    if 8 < bits < 16:
        # Numbers of 10, 12 or 14 bits, packed: their largest is white.
        pixels = (pixels.astype(np.uint32) * 65535 // (2**bits - 1)).astype(np.uint16)
    pixels = as_pixels(pixels)
    if is_inverted:
        pixels = (np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else np.float32(1)) - pixels
    extra = extra if isinstance(extra, tuple) else (extra,)
    has_alpha = pixels.shape[2] in (2, 4) and len(extra) == 1 and int(extra[0]) in _ALPHA
    return upright(pixels, int(orientation)), has_alpha


def _channels_last(array: np.ndarray, axes: str) -> np.ndarray:
    """Returns [H, W, C] of an array whose axes tifffile names: Y, X, C and S (samples) stay, of others the first."""
    for place in reversed(range(len(axes))):
        if axes[place] not in "YXCS":
            array, axes = array.take(0, axis=place), axes[:place] + axes[place + 1 :]
    order = [axes.index(letter) for letter in "YXCS" if letter in axes]
    array = array.transpose(order)
    return array.reshape(*array.shape[:2], -1)
