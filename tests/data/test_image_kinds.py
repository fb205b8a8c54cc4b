"""Every kind of image file as Pillow shows it, bit for bit unless a test says otherwise."""

import itertools
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from barlowtf.data import Rendering, decode, decode_in_graph, unreadable_reason
from barlowtf.data.orientation import jpeg_orientation
from barlowtf.data.stored import read_stored
from tests.encoded_images import BANDS, COLOR, DEEP, KINDS, RAMP, in_graph, npy, saved, shown, tiff


@pytest.mark.parametrize("kind", KINDS)
def test_as_pillow_shows_it(kind):
    np.testing.assert_array_equal(in_graph(KINDS[kind]), shown(KINDS[kind]))


@pytest.mark.parametrize("kind", KINDS)
def test_gray_as_pillow_makes_it(kind):
    gray = np.asarray(Image.fromarray(shown(KINDS[kind])).convert("L"))
    received = in_graph(KINDS[kind], channels=1)[..., 0]
    # What is transparent is laid over the background before it becomes gray; gray itself has nothing to round.
    np.testing.assert_array_equal(received, gray)


@pytest.mark.parametrize("quality", [50, 95])
def test_cmyk_jpeg(quality):
    content = saved(Image.fromarray(RAMP).convert("CMYK"), "JPEG", quality=quality)
    # Both multiply ink by black and round, one of them once more.
    np.testing.assert_allclose(in_graph(content).astype(int), shown(content).astype(int), atol=1)


@pytest.mark.parametrize("background", ["black", "#3c78c8"])
@pytest.mark.parametrize("kind", ["PNG, alpha", "PNG, palette, transparent", "WebP, alpha", "GIF, transparent"])
def test_what_lies_behind(kind, background):
    color = (0, 0, 0) if background == "black" else (0x3C, 0x78, 0xC8)
    received = in_graph(KINDS[kind], rendering=Rendering(background=color))
    np.testing.assert_array_equal(received, shown(KINDS[kind], background))


ORIENTED = {
    "JPEG": (RAMP, {}),
    "JPEG, behind a color profile": (RAMP, {"icc_profile": bytes(5000)}),
    "PNG": (COLOR, {}),
    "WEBP": (COLOR, {"lossless": True}),
    "TIFF": (COLOR, {}),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ORIENTED)
def test_orientation(kind, orientation):
    pixels, options = ORIENTED[kind]
    exif = Image.Exif()
    # Entries before and behind it, as cameras write them.
    exif[0x010F], exif[0x0112], exif[0x0132] = "a camera", orientation, "2026:11:26 12:00:00"
    content = saved(pixels, kind.partition(",")[0], exif=exif, **options)
    expected = shown(content)
    assert expected.shape[:2] == (pixels.shape[:2] if orientation < 5 else pixels.shape[1::-1])
    np.testing.assert_array_equal(in_graph(content), expected)
    np.testing.assert_array_equal(read_stored(content).pixels, expected)


@pytest.mark.parametrize("orientation", [0, 9, 255, 256, 65535])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_numbers_that_are_no_orientation_turn_nothing(kind, orientation):
    pixels = RAMP if kind == "JPEG" else COLOR
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(pixels, kind, exif=exif)
    assert jpeg_orientation(tf.constant(content)) == orientation or kind == "PNG"
    np.testing.assert_array_equal(in_graph(content), shown(saved(pixels, kind)))
    np.testing.assert_array_equal(read_stored(content).pixels, shown(saved(pixels, kind)))


def oriented():
    """A JPEG and a PNG file of each orientation."""
    files = []
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x010F], exif[0x0112] = "a camera", orientation
        files += [saved(RAMP, "JPEG", exif=exif), saved(COLOR, "PNG", exif=exif)]
    return files


def test_orientation_in_either_byte_order_and_where_there_is_none():
    plain = saved(RAMP, "JPEG")

    def with_exif(tiff_bytes):
        segment = b"Exif\0\0" + tiff_bytes
        return plain[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + plain[2:]

    for order, name in (("big", b"MM"), ("little", b"II")):
        number = lambda value, size, order=order: value.to_bytes(size, order)  # noqa: E731
        head = name + number(42, 2)
        other = number(0x0110, 2) + number(3, 2) + number(1, 4) + number(9, 2) + bytes(2)
        entry = number(0x0112, 2) + number(3, 2) + number(1, 4) + number(6, 2) + bytes(2)
        # The directory behind other data.
        there = with_exif(head + number(20, 4) + bytes(12) + number(2, 2) + other + entry + bytes(4))
        np.testing.assert_array_equal(in_graph(there), np.rot90(shown(plain), -1))
        assert jpeg_orientation(tf.constant(there)) == 6
        for nothing in (
            head + number(8, 4) + number(1, 2) + other + bytes(4),
            head + number(8, 4),
            head + number(2**31 - 1, 4) + bytes(20),
            head + number(8, 4) + number(65535, 2) + other,
            name,
            b"",
        ):
            np.testing.assert_array_equal(in_graph(with_exif(nothing)), shown(plain))
            assert jpeg_orientation(tf.constant(with_exif(nothing))) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Unknown image format: received bytes that begin with b''"),
        (b"no image", "Unknown image format"),
        (KINDS["WebP"][:40], "."),
        (KINDS["TIFF"][:100], "."),
        (KINDS["GIF"][:30], "."),
        (KINDS["PNG"][:60], "."),
        (KINDS["JPEG"][:300], "."),
        (npy(np.zeros(3)), r"Received an array \[3\], expected \[H, W\] or \[H, W, C\]"),
        (npy(np.full((2, 2), 7.5)), r"Received floats from 7.5 to 7.5, expected them in \[0, 1\]"),
        (npy(np.zeros((2, 2), np.int32)), "Received int32 pixels, expected uint8, uint16, or floats"),
        (npy(np.array([None])), "."),
        (tiff(DEEP.astype(np.int16)[..., 0]), "Received int16 pixels"),
        (
            tiff(BANDS, photometric="minisblack", planarconfig="contig"),
            "received 7 channels, expected 3; only grayscale, RGB and their alpha are converted",
        ),
    ],
    ids=itertools.count(),
)
def test_damaged_and_foreign_files_are_one_line(content, reason):
    class One:
        def read(self, index):
            return tf.constant(content)

    found = unreadable_reason(One(), 0, 3)
    assert found is not None and "\n" not in found and "Traceback" not in found and "0x" not in found
    assert re.search(reason, found)
    with pytest.raises(tf.errors.InvalidArgumentError):
        in_graph(content)


def test_exported_models_decode_without_python():
    function = tf.function(lambda encoded: decode_in_graph(encoded, 3), autograph=False)
    graph = function.get_concrete_function(tf.TensorSpec([], tf.string))
    kinds = [kind for kind in KINDS if kind.startswith(("JPEG", "PNG"))] + ["BMP", "GIF", "WebP, lossless"]
    for content in [KINDS[kind] for kind in kinds] + oriented():
        np.testing.assert_array_equal(graph(tf.constant(content)), shown(content))
    deep = graph(tf.constant(tf.io.encode_png(DEEP)))
    np.testing.assert_array_equal(deep, np.rint(DEEP / 257.0))
    definition = graph.graph.as_graph_def()
    used = {node.op for node in definition.node}
    used |= {node.op for function in definition.library.function for node in function.node_def}
    assert used and not [name for name in used if "PyFunc" in name]


def test_inside_the_input_pipeline():
    contents = [KINDS[kind] for kind in ("JPEG", "PNG, palette", "TIFF", "WebP", "GIF")]
    images = tf.data.Dataset.from_tensor_slices(contents).map(lambda encoded: decode(encoded, 3), num_parallel_calls=2)
    for content, image in zip(contents, images, strict=True):
        np.testing.assert_array_equal(image, shown(content))
