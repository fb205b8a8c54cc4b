"""What Python cannot read fails in a graph, too, but not as an error of Python."""

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.data.images import decode
from barlowtf.data.python_image import image_by_python


def _refuse(value):
    raise ValueError(f"Received {value}")


def test_an_unreadable_image_fails_in_a_graph_without_an_error_of_python():
    # TensorFlow would log each with a traceback.
    images = tf.data.Dataset.from_tensors(tf.constant(b"no image")).map(lambda content: decode(content, 3))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"assertion failed: \[Unknown image format: received"):
        list(images)


def test_eagerly_the_reason_is_the_message():
    with pytest.raises(tf.errors.InvalidArgumentError, match="Received 7"):
        image_by_python(_refuse, tf.constant(7), tf.uint8)


def test_an_image_keeps_its_pixels_in_a_graph():
    pixels = np.arange(12, dtype=np.uint16).reshape(2, 2, 3)
    read = tf.function(lambda index: image_by_python(lambda _: pixels, index, tf.uint16))
    np.testing.assert_array_equal(read(tf.constant(0)), pixels)
