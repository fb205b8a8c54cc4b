"""The center view of an image, and which images can be read."""

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.data import ArraySource, center_view, center_views, open_source, readable_ids


@pytest.mark.parametrize(("height", "width"), [(300, 401), (401, 300), (90, 90), (80, 1000)])
def test_center_view_is_resize_then_cut(height, width):
    image = np.random.default_rng(2).integers(0, 256, (height, width, 3), np.uint8)
    short = 128  # 112 * 256 / 224
    new_height, new_width = short * height // min(height, width), short * width // min(height, width)
    resized = tf.image.resize(image, (new_height, new_width), "bilinear", antialias=True).numpy()
    top, left = round((new_height - 112) / 2), round((new_width - 112) / 2)
    expected = np.clip(np.round(resized[top : top + 112, left : left + 112]), 0, 255)
    received = center_view(tf.constant(image), 112)
    assert received.shape == (112, 112, 3) and received.dtype == tf.uint8
    # The same kernel at the same places; float32 positions round apart now and then, by one step of 255.
    np.testing.assert_allclose(received, expected, atol=1)


def test_center_view_of_a_small_image_is_the_image():
    image = np.random.default_rng(3).integers(0, 256, (32, 32, 3), np.uint8)
    np.testing.assert_array_equal(center_view(tf.constant(image), 32), image)


def test_center_views_keep_the_order_of_the_ids():
    images = np.repeat(np.arange(9, dtype=np.uint8), 16 * 16).reshape(9, 16, 16, 1)
    ids = np.array([8, 0, 3, 3, 5])
    views = list(center_views(ArraySource("x", images), ids, size=16, channels=1, batch_size=2))
    assert [len(view) for view in views] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate(views)[:, 7, 7, 0], ids)


def test_readable_ids_leave_out_what_cannot_be_decoded(class_folders):
    source = open_source(str(class_folders), "train")
    with open(source.identify(4), "wb") as file:
        file.write(b"damaged")
    np.testing.assert_array_equal(readable_ids(source, np.array([7, 4, 2, 22]), channels=3), [7, 2, 22])
    assert readable_ids(source, np.array([4]), channels=3).shape == (0,)
