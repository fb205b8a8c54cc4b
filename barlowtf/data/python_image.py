"""An image that Python reads, as an operation of TensorFlow."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf


def image_by_python(read: Callable[[Any], np.ndarray], argument: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Returns the image that `read` gives for `argument`.

    In a graph an error would be logged by TensorFlow with a Python traceback, one for each image, and its message
    reaches nobody: there it becomes an array of rank 1, which the caller's `tf.ensure_shape` refuses.

    Args:
        read: From the value of `argument` to [H, W, C] of type `dtype`.
        argument: Any type, [].
        dtype: Of the result.

    Returns:
        [H, W, C]; in a graph of unknown shape, and of rank 1 where `read` raises ValueError.

    Raises:
        tf.errors.InvalidArgumentError: `read` raises ValueError, and this runs eagerly; with its message.
    """

    def image_or_nothing(value: Any) -> np.ndarray:
        try:
            return read(value)
        except ValueError:
            return np.zeros([0], dtype.as_numpy_dtype)

    if not tf.executing_eagerly():
        return tf.numpy_function(image_or_nothing, [argument], dtype, stateful=False)
    try:
        return tf.constant(read(tf.convert_to_tensor(argument).numpy()))
    except ValueError as error:
        raise tf.errors.InvalidArgumentError(None, None, str(error)) from error
