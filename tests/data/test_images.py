"""Decoding and channels, against PIL."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from barlowtf.data import ArraySource, decode, unreadable_reason
from barlowtf.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)


def encoded(pixels, file_format, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, file_format, **options)
    return tf.constant(buffer.getvalue())


@pytest.mark.parametrize("file_format", ["PNG", "BMP"])
def test_color_becomes_gray_by_luma(file_format):
    gray = np.asarray(Image.fromarray(PIXELS[..., :3]).convert("L"))
    received = decode(encoded(PIXELS[..., :3], file_format), 1)
    assert received.shape == (5, 7, 1)
    np.testing.assert_array_equal(received[..., 0], gray)


@pytest.mark.parametrize("channels", [1, 3])
def test_gray_png_is_exact(channels):
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(decode(encoded(gray, "PNG"), channels), np.repeat(gray[..., None], channels, axis=-1))


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_like_pil(channels):
    smooth = np.linspace(0, 255, 16 * 16 * 3).reshape(16, 16, 3).astype(np.uint8)
    data = encoded(smooth, "JPEG", quality=95)
    reference = np.asarray(Image.open(io.BytesIO(data.numpy())).convert("L" if channels == 1 else "RGB"))
    np.testing.assert_array_equal(decode(data, channels).numpy().reshape(reference.shape), reference)


def test_first_frame_of_an_animation():
    frames = [Image.fromarray(np.full((6, 6), shade, np.uint8)) for shade in (10, 200)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode(tf.constant(buffer.getvalue()), 3), np.full((6, 6, 3), 10))
    np.testing.assert_array_equal(decode(tf.constant(buffer.getvalue()), 1), np.full((6, 6, 1), 10))


def test_four_channels_when_asked():
    np.testing.assert_array_equal(decode(encoded(PIXELS, "PNG"), 4), PIXELS)
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(encoded(PIXELS[..., :3], "PNG"), 4)


def test_decoded_images_one_or_many():
    np.testing.assert_array_equal(decode(tf.constant(PIXELS[..., :3]), 3), PIXELS[..., :3])
    np.testing.assert_array_equal(
        decode(tf.constant(PIXELS[None, ..., :1]), 3), np.repeat(PIXELS[None, ..., :1], 3, -1)
    )
    # 0.299 * 10 + 0.587 * 20 + 0.114 * 250 = 43.23 and 0.299 * 4 + 0.587 * 4 + 0.114 * 4 = 4, exactly.
    pair = tf.constant([[[10, 20, 250], [4, 4, 4]]], tf.uint8)
    np.testing.assert_array_equal(decode(pair, 1), [[[43], [4]]])


def test_channels_that_do_not_convert():
    with pytest.raises(DataError, match="Invalid images: received 1 channels, expected 5"):
        decode(tf.constant(PIXELS[..., :1]), 5)
    with pytest.raises(ValueError, match="Invalid image: received float64"):
        decode(tf.zeros([4, 4, 3], tf.float64), 3)


def test_reason_is_one_plain_line(tmp_path):
    class Broken(ArraySource):
        def read(self, index):
            return tf.constant(b"no image at all")

    source = Broken("x", np.zeros((1, 2, 2, 3), np.uint8))
    reason = unreadable_reason(source, 0, 3)
    assert reason == "Unknown image format: received bytes that begin with b'no image'"
    assert "{{" not in reason and "[Op" not in reason and "\n" not in reason
    assert unreadable_reason(ArraySource("y", np.zeros((1, 2, 2, 3), np.uint8)), 0, 3) is None
