"""An image that Python reads, as an operation of TensorFlow."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf


def image_by_python(read: Callable[[Any], np.ndarray], argument: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Returns the image that `read` gives for `argument`.

    In a graph TensorFlow would log an error of Python with its traceback, one for each image: there the reason is a
    second value, and an assertion fails with it.

    Args:
        read: From the value of `argument` to [H, W, C] of type `dtype`.
        argument: Any type, [].
        dtype: Of the result.

    Returns:
        [H, W, C]; in a graph of unknown shape.

    Raises:
        tf.errors.InvalidArgumentError: `read` raises ValueError; with its message (when the graph runs).
    """

    def image_and_fault(value: Any) -> tuple[np.ndarray, str]:
        try:
            return read(value), ""
        except ValueError as error:
            # No image has this rank: the caller's `tf.ensure_shape` refuses it even where assertions are dropped.
            return np.zeros([0], dtype.as_numpy_dtype), str(error)

    if not tf.executing_eagerly():
        image, fault = tf.numpy_function(image_and_fault, [argument], [dtype, tf.string], stateful=False)
        with tf.control_dependencies([tf.debugging.Assert(fault == b"", [fault])]):
            return tf.identity(image)
    try:
        return tf.constant(read(tf.convert_to_tensor(argument).numpy()))
    except ValueError as error:
        raise tf.errors.InvalidArgumentError(None, None, str(error)) from error
