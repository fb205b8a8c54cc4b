"""Images of more pixels than the recipe allows: told by their headers, never decoded."""

import io
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from barlowtf.augment import CropPlan
from barlowtf.config import load_recipe
from barlowtf.data import (
    EIGHT_BITS,
    BatchPlan,
    Labeled,
    SkippedImages,
    TrainingBatches,
    decode,
    decode_in_graph,
    open_source,
    readable_part,
    readable_views,
)
from barlowtf.data.headers import other_pixels, png_pixels
from barlowtf.errors import ConfigError

# 12 x 10 pixels, and a limit of one less.
HEIGHT, WIDTH = 10, 12
BELOW, ENOUGH = (replace(EIGHT_BITS, max_pixels=HEIGHT * WIDTH - less) for less in (1, 0))


def encoded(form, mode="RGB", **options):
    content = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(content, form, **options)
    return content.getvalue()


def saved(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def rotated_jpeg():
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded("JPEG", exif=exif)


FILES = {
    "plain jpeg": encoded("JPEG"),
    "turned jpeg": rotated_jpeg(),
    "png": encoded("PNG"),
    "png with alpha": encoded("PNG", "RGBA"),
    "gif": encoded("GIF"),
    "bmp": encoded("BMP"),
    "webp": encoded("WEBP"),
    "lossless webp": encoded("WEBP", lossless=True),
    "extended webp": encoded("WEBP", exif=Image.Exif().tobytes()),
    "tiff": encoded("TIFF"),
    "deep tiff": None,
    "npy": saved(np.zeros((HEIGHT, WIDTH, 3), np.uint8)),
}


def deep_tiff():
    tifffile = pytest.importorskip("tifffile")
    content = io.BytesIO()
    tifffile.imwrite(content, np.zeros((HEIGHT, WIDTH, 3), np.uint16))
    return content.getvalue()


@pytest.mark.parametrize("name", FILES)
def test_one_pixel_too_many_is_no_image(name):
    content = FILES[name] or deep_tiff()
    with pytest.raises(tf.errors.InvalidArgumentError, match="has 120 pixels, expected at most 119, .*max_pixels"):
        decode(tf.constant(content), 3, BELOW)
    assert sorted(decode(tf.constant(content), 3, ENOUGH).shape[:2]) == [HEIGHT, WIDTH]


def test_in_a_graph_it_is_no_image_either():
    """Of many in one pipeline, which passes over what it cannot decode: as training and exported models do."""
    contents = [FILES["plain jpeg"], FILES["turned jpeg"], FILES["png"], FILES["png with alpha"]]
    served = [*contents, *(FILES[name] for name in ("gif", "bmp", "webp", "lossless webp", "extended webp"))]
    for decoder, files in ((decode, contents), (decode_in_graph, served)):
        for rendering, left in ((BELOW, 0), (ENOUGH, len(files))):
            images = tf.data.Dataset.from_tensor_slices(files).map(lambda file: tf.shape(decoder(file, 3, rendering)))  # noqa: B023
            assert len(list(images.ignore_errors())) == left


def test_all_readers_have_the_limit_of_the_recipe(tmp_path):
    for number, (height, width) in enumerate([(HEIGHT, WIDTH), (5, 5), (6, 6), (HEIGHT, WIDTH)]):
        tf.io.write_file(f"{tmp_path}/{number}.png", tf.io.encode_png(np.full((height, width, 3), number, np.uint8)))
    source = open_source(str(tmp_path), "train")
    skipped, ids = SkippedImages(), np.arange(4)
    views = readable_views(source, ids, size=4, channels=3, batch_size=4, skipped=skipped, rendering=BELOW)
    assert [numbers.tolist() for numbers, _ in views] == [[1, 2]] and len(skipped) == 2
    examples = Labeled(source, ids, ids)
    assert readable_part(examples, 3, BELOW).ids.tolist() == [1, 2]
    plan = BatchPlan(
        batch_size=4, channels=3, seed=0, crop=CropPlan(size=(4, 4), area=(0.2, 1.0)), total_steps=1, rendering=BELOW
    )
    crops, *_ = next(TrainingBatches(source, plan))
    assert set(np.unique(crops)) == {1, 2}


def bomb(side):
    """A PNG file of a few bytes that says it has side x side pixels."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [20_000, 2**31 - 1])
def test_a_bomb_is_refused_by_the_usual_limit(side):
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected at most 89,478,485"):
        decode(tf.constant(bomb(side)), 3)


def test_sizes_that_no_header_should_hold():
    heads = {
        b"BM" + bytes(16) + b"\xff" * 8: 1,  # one row and one column, both from the other side
        b"BM" + bytes(16) + b"\0\0\0\x80" * 2: 2**62,
        b"GIF89a\xff\xff\xff\xff": 65535**2,
        b"RIFF\0\0\0\0WEBPVP8X" + b"\xff" * 20: 2**48,
        b"RIFF\0\0\0\0WAVE" + b"\xff" * 20: 0,
        b"": 0,
    }
    assert {head: int(other_pixels(tf.constant(head))) for head in heads} == heads
    assert int(png_pixels(tf.constant([65535] * 13, tf.uint16))) == 2**62


def test_the_limit_is_a_setting():
    assert load_recipe("digits", ["data.max_pixels=1000000"]).data.max_pixels == 10**6
    for wrong in ("0", "178956971"):
        with pytest.raises(ConfigError, match="data.max_pixels"):
            load_recipe("digits", [f"data.max_pixels={wrong}"])
