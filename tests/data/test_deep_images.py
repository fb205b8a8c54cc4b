"""Images of sixteen bits, of many bands and of floats keep what they hold."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from barlowtf.data import Rendering
from tests.encoded_images import BANDS, DEEP, GENERATOR, GRAY, SIXTEEN, in_graph, npy, saved, tiff

DEEP_KINDS = {
    # Not yet: TensorFlow must not start before the tests.
    "PNG, 16 bits": (lambda: tf.io.encode_png(DEEP).numpy(), DEEP),
    "PNG, 16 bits, gray": (saved(Image.fromarray(DEEP[..., 0]), "PNG"), DEEP[..., :1]),
    "TIFF, 16 bits": (tiff(DEEP, photometric="rgb"), DEEP),
    "TIFF, 16 bits, gray": (tiff(DEEP[..., 0]), DEEP[..., :1]),
    "TIFF, 16 bits, gray, big-endian": (tiff(DEEP[..., 0], byteorder=">"), DEEP[..., :1]),
    "TIFF, 16 bits, LZW, gray": (saved(Image.fromarray(DEEP[..., 0]), "TIFF", compression="tiff_lzw"), DEEP[..., :1]),
    "TIFF, 16 bits, zlib": (tiff(DEEP, photometric="rgb", compression="zlib", predictor=True), DEEP),
    "TIFF, 16 bits, planes": (tiff(DEEP.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"), DEEP),
    "TIFF, 16 bits, tiles": (tiff(DEEP, photometric="rgb", tile=(16, 16)), DEEP),
    "TIFF, seven bands": (tiff(BANDS, photometric="minisblack", planarconfig="contig"), BANDS),
    "TIFF, seven bands as planes": (
        tiff(BANDS.transpose(2, 0, 1), photometric="minisblack", planarconfig="separate"),
        BANDS,
    ),
    "TIFF, ImageJ's channels": (
        tiff(BANDS[..., :2].transpose(2, 0, 1), imagej=True, metadata={"axes": "CYX"}),
        BANDS[..., :2],
    ),
    "TIFF, the first of some pages": (tiff(BANDS.transpose(2, 0, 1), photometric="minisblack"), BANDS[..., :1]),
    "NPY, 16 bits": (npy(DEEP), DEEP),
    "NPY, seven bands": (npy(BANDS), BANDS),
    "NPY, one": (npy(DEEP[..., 0].astype(">u2")), DEEP[..., :1]),
}


@pytest.mark.parametrize("kind", DEEP_KINDS)
def test_sixteen_bits_are_kept(kind):
    content, pixels = DEEP_KINDS[kind]
    content = content() if callable(content) else content
    received = in_graph(content, pixels.shape[-1], SIXTEEN)
    assert received.dtype == np.uint16
    np.testing.assert_array_equal(received, pixels)
    # In eight bits the nearest of 256 equal steps, not the upper half of the number.
    eight = in_graph(content, pixels.shape[-1])
    assert eight.dtype == np.uint8
    np.testing.assert_array_equal(eight, np.rint(pixels / 257.0).astype(np.uint8))


def test_bands_of_eight_bits_and_floats():
    narrow = (BANDS >> 8).astype(np.uint8)
    for content in (tiff(narrow, photometric="minisblack", planarconfig="contig"), npy(narrow)):
        np.testing.assert_array_equal(in_graph(content, 7), narrow)
        np.testing.assert_array_equal(in_graph(content, 7, SIXTEEN), narrow.astype(np.uint16) * 257)
    floats = BANDS.astype(np.float32) / 65535
    for content in (tiff(floats, photometric="minisblack", planarconfig="contig"), npy(floats), npy(floats * 1.0)):
        np.testing.assert_array_equal(in_graph(content, 7, SIXTEEN), BANDS)
    # Four bands without alpha among them are no color with alpha.
    four = tiff(narrow[..., :4], photometric="rgb", extrasamples=["unspecified"])
    np.testing.assert_array_equal(in_graph(four, 4), narrow[..., :4])
    with pytest.raises(tf.errors.InvalidArgumentError, match="received 4 channels, expected 3"):
        in_graph(four, 3)


def test_white_of_a_camera_of_twelve_bits():
    camera = GENERATOR.integers(0, 4096, (6, 5), np.uint16)
    camera[0] = 4095, 4096, 60000, 0, 2048
    content = saved(Image.fromarray(camera), "PNG")
    share = np.minimum(camera, 4095) / 4095
    for depth, largest in ((8, 255), (16, 65535)):
        received = in_graph(content, 1, Rendering(depth=depth, white=4095))[..., 0]
        np.testing.assert_array_equal(received, np.floor(share * largest + 0.5))
    # Seen as what fills sixteen bits, it is all but black.
    assert in_graph(content, 1)[1:].max() <= 16


def test_alpha_of_sixteen_bits():
    deep = GENERATOR.integers(0, 65536, (6, 5, 4), np.uint16)
    share = deep[..., 3:] / 65535
    for content in (tf.io.encode_png(deep).numpy(), tiff(deep, photometric="rgb", extrasamples=["unassalpha"])):
        received = in_graph(content, 3, Rendering(depth=16, background=(0, 255, 51)))
        expected = deep[..., :3] * share + np.array([0, 65535, 13107]) * (1 - share)
        np.testing.assert_allclose(received, expected, atol=0.501)


def test_white_is_zero():
    gray = DEEP[..., 0]
    np.testing.assert_array_equal(in_graph(tiff(gray, photometric="miniswhite"), 1, SIXTEEN)[..., 0], 65535 - gray)
    np.testing.assert_array_equal(in_graph(tiff(GRAY, photometric="miniswhite"), 1)[..., 0], 255 - GRAY)


def test_gray_of_sixteen_bits_becomes_color():
    np.testing.assert_array_equal(in_graph(npy(DEEP[..., :1]), 3, SIXTEEN), np.repeat(DEEP[..., :1], 3, axis=2))
