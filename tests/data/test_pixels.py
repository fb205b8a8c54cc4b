"""Pixels of an open image as they are stored: kinds that are converted, kept as they are, and refused."""

import numpy as np
import pytest
from PIL import Image

from barlowtf.data.pixels import as_uint16, pixels_of, require_unit_range

RAMP = (20 * np.arange(12, dtype=np.uint8)).reshape(3, 4)


def of_mode(mode, array=RAMP):
    return Image.fromarray(array).convert(mode)


@pytest.mark.parametrize(
    ("mode", "channels", "has_alpha"),
    [("1", 1, False), ("L", 1, False), ("LA", 2, True), ("P", 3, False), ("RGB", 3, False), ("RGBA", 4, True)],
)
def test_modes(mode, channels, has_alpha):
    pixels, alpha = pixels_of(of_mode(mode))
    assert (pixels.shape, alpha) == ((3, 4, channels), has_alpha)


@pytest.mark.parametrize(("mode", "channels"), [("1", 2), ("L", 2), ("P", 4), ("RGB", 4)])
def test_a_transparent_color_becomes_alpha(mode, channels):
    image = of_mode(mode)
    image.info["transparency"] = (0, 0, 0) if mode == "RGB" else 0
    pixels, has_alpha = pixels_of(image)
    assert (pixels.shape[2], has_alpha) == (channels, True)
    assert pixels[0, 0, -1] == 0 and pixels[-1, -1, -1] == 255


def test_sixteen_bits_and_floats_stay():
    deep = RAMP.astype(np.uint16) * 250
    pixels, _ = pixels_of(Image.fromarray(deep))
    np.testing.assert_array_equal(pixels[..., 0], deep)
    assert pixels.dtype == np.uint16
    floats = RAMP.astype(np.float32) / 220
    np.testing.assert_array_equal(pixels_of(Image.fromarray(floats))[0][..., 0], floats)


def test_what_has_no_meaning_is_refused():
    with pytest.raises(ValueError, match="Received pixels from -1 to 0, expected 0 to 65535"):
        as_uint16(np.array([-1, 0], np.int32))
    with pytest.raises(ValueError, match="Received pixels from 0 to 65536"):
        as_uint16(np.array([0, 65536], np.int32))
    for value in (1.5, -0.5, np.nan):
        with pytest.raises(ValueError, match=r"expected them in \[0, 1\]"):
            require_unit_range(np.array([0.5, value]))
    assert as_uint16(np.zeros((0, 2), np.int32)).dtype == np.uint16
    assert require_unit_range(np.zeros((0, 2))).dtype == np.float32
