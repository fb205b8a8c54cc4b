"""Every kind of image file as Pillow or tifffile shows it, bit for bit unless a test says otherwise."""

import functools
import io
import itertools
import re

import numpy as np
import pytest
import tensorflow as tf
import tifffile
from PIL import Image, ImageOps

from barlowtf.data import Rendering, decode, decode_in_graph, unreadable_reason
from barlowtf.data.orientation import jpeg_orientation
from barlowtf.data.stored import read_stored

GENERATOR = np.random.default_rng(0)
COLOR = GENERATOR.integers(0, 256, (9, 14, 3), np.uint8)
GRAY = np.ascontiguousarray(COLOR[..., 0])
RGBA = GENERATOR.integers(0, 256, (9, 14, 4), np.uint8)
DEEP = GENERATOR.integers(0, 65536, (9, 14, 3), np.uint16)
BANDS = GENERATOR.integers(0, 65536, (9, 14, 7), np.uint16)
# Smooth, as photographs are: JPEG and WebP lose little of it.
RAMP = np.stack([*np.meshgrid(np.arange(48) * 5, np.arange(32) * 7, indexing="ij"), np.full((48, 32), 90)], 2)
RAMP = RAMP.astype(np.uint8)
SIXTEEN = Rendering(depth=16)


def saved(image, file_format, **options):
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, file_format, **options)
    return buffer.getvalue()


def tiff(pixels, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def shown(content, background="white"):
    """What Pillow shows of a file: RGB, upright, over a background."""
    with Image.open(io.BytesIO(content)) as image:
        image = ImageOps.exif_transpose(image)
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            image = image.convert("RGBA")
            over = Image.new("RGB", image.size, background)
            over.paste(image, mask=image.getchannel("A"))
            image = over
        return np.asarray(image.convert("RGB"))


@functools.cache
def decoder(channels, rendering):
    return tf.function(lambda encoded: decode(encoded, channels, rendering), [tf.TensorSpec([], tf.string)])


def in_graph(content, channels=3, rendering=None):
    """As the input pipeline decodes: in a graph."""
    return decoder(channels, rendering or Rendering())(tf.constant(content)).numpy()


def palette(colors=16, **options):
    return Image.fromarray(COLOR).quantize(colors, **options)


def transparent_palette():
    image = palette()
    image.info["transparency"] = 3
    return image


KINDS = {
    "JPEG": saved(RAMP, "JPEG", quality=90),
    "JPEG, gray": saved(RAMP[..., 0], "JPEG"),
    "JPEG, progressive": saved(RAMP, "JPEG", progressive=True),
    "JPEG, 4:4:4": saved(RAMP, "JPEG", subsampling=0),
    "PNG": saved(COLOR, "PNG"),
    "PNG, gray": saved(GRAY, "PNG"),
    "PNG, one bit": saved(Image.fromarray(GRAY).convert("1"), "PNG"),
    "PNG, palette": saved(palette(), "PNG"),
    "PNG, palette, transparent": saved(transparent_palette(), "PNG"),
    "PNG, alpha": saved(RGBA, "PNG"),
    "PNG, gray and alpha": saved(Image.fromarray(RGBA).convert("LA"), "PNG"),
    "PNG, transparent color": saved(COLOR, "PNG", transparency=tuple(COLOR[2, 3].tolist())),
    "PNG, transparent gray": saved(GRAY, "PNG", transparency=int(GRAY[0, 0])),
    "BMP": saved(COLOR, "BMP"),
    "BMP, gray": saved(GRAY, "BMP"),
    "BMP, palette": saved(palette(), "BMP"),
    "BMP, one bit": saved(Image.fromarray(GRAY).convert("1"), "BMP"),
    "BMP, alpha": saved(RGBA, "BMP"),
    "GIF": saved(palette(), "GIF"),
    "GIF, transparent": saved(transparent_palette(), "GIF"),
    "WebP": saved(RAMP, "WEBP", quality=80),
    "WebP, lossless": saved(COLOR, "WEBP", lossless=True),
    "WebP, alpha": saved(RGBA, "WEBP", lossless=True),
    "TIFF": saved(COLOR, "TIFF"),
    "TIFF, LZW": saved(COLOR, "TIFF", compression="tiff_lzw"),
    "TIFF, deflate": saved(COLOR, "TIFF", compression="tiff_adobe_deflate"),
    "TIFF, JPEG": saved(RAMP, "TIFF", compression="jpeg"),
    "TIFF, gray": saved(GRAY, "TIFF"),
    "TIFF, one bit": saved(Image.fromarray(GRAY).convert("1"), "TIFF", compression="group4"),
    "TIFF, palette": saved(palette(), "TIFF"),
    "TIFF, alpha": saved(RGBA, "TIFF"),
    "TIFF, CMYK": saved(Image.fromarray(COLOR).convert("CMYK"), "TIFF"),
    "PPM": saved(COLOR, "PPM"),
}


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


def test_gray_of_sixteen_bits_becomes_color():
    np.testing.assert_array_equal(in_graph(npy(DEEP[..., :1]), 3, SIXTEEN), np.repeat(DEEP[..., :1], 3, axis=2))


def test_inside_the_input_pipeline():
    contents = [KINDS[kind] for kind in ("JPEG", "PNG, palette", "TIFF", "WebP", "GIF")]
    images = tf.data.Dataset.from_tensor_slices(contents).map(lambda encoded: decode(encoded, 3), num_parallel_calls=2)
    for content, image in zip(contents, images, strict=True):
        np.testing.assert_array_equal(image, shown(content))
