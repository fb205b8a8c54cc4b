"""Tensors in messages as TensorFlow Serving sends them by default: each value in the field of its type."""

from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf

_INTEGERS = (tf.uint8, tf.int8, tf.int16, tf.int32)
FIELDS = {
    tf.float32: "float_val",
    tf.float64: "double_val",
    tf.int64: "int64_val",
    tf.uint32: "uint32_val",
    tf.uint64: "uint64_val",
    tf.bool: "bool_val",
    tf.string: "string_val",
} | dict.fromkeys(_INTEGERS, "int_val")


def fill_tensor(tensor: Any, dtype: tf.DType, shape: Sequence[int], values: Iterable[Any]) -> None:
    """Fills a TensorProto.

    Args:
        tensor: A new TensorProto.
        dtype: One of `FIELDS`.
        shape: Size of each axis.
        values: Python values in row-major order.
    """
    tensor.dtype = dtype.as_datatype_enum
    tensor.tensor_shape.SetInParent()
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    getattr(tensor, FIELDS[dtype]).extend(values)
