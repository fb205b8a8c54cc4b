"""Fixed positions for maps of any size: which row and column a token comes from.

Letters: d channels, a multiple of 4; ω_k = 10000^(-4k/d) for k = 0 ... d/4 - 1. Column x adds sin(x ω_k) and cos(x ω_k)
to the first d/2 channels, row y adds sin(y ω_k) and cos(y ω_k) to the others.

Source: arXiv:2104.02057, section 4.1 (two-dimensional sine-cosine positions); arXiv:1706.03762, section 3.5.
"""

import keras
import numpy as np
import tensorflow as tf

_LONGEST = 10_000.0


def frequencies(channels: int) -> np.ndarray:
    """Returns ω, float64 [d/4].

    Raises:
        ValueError: `channels` is not a multiple of 4.
    """
    if channels % 4:
        raise ValueError(f"Invalid channels: received {channels}, expected a multiple of 4.")
    quarter = channels // 4
    return _LONGEST ** (-np.arange(quarter) / quarter)


def position_table(size: int, channels: int) -> np.ndarray:
    """Returns what each of `size` rows or columns adds to its half of the channels, float32 [size, d/2]."""
    angles = np.arange(size)[:, None] * frequencies(channels)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


@keras.saving.register_keras_serializable(package="barlowtf")
class SineCosinePositions(keras.layers.Layer):
    """Adds to each place of a map a vector that tells its row and column; without weights, for maps of any size.

    Inputs are float [n, h, w, d]; the output has the same shape and the policy's compute dtype.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Checks the number of channels.

        Raises:
            ValueError: It is unknown or not a multiple of 4.
        """
        if len(input_shape) != 4 or input_shape[-1] is None:
            raise ValueError(f"Invalid inputs: received shape {input_shape}, expected [n, h, w, d] with d known.")
        frequencies(input_shape[-1])

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns inputs plus positions."""
        channels, sizes = inputs.shape[-1], tf.shape(inputs)
        rows, columns = (
            # Constants where the size is known. float32: bfloat16 cannot count beyond 256.
            tf.constant(position_table(known, channels)) if known is not None else _table(size, channels)
            for known, size in zip(inputs.shape[1:3], (sizes[1], sizes[2]), strict=True)
        )
        rows = tf.cast(tf.pad(rows, [[0, 0], [channels // 2, 0]]), inputs.dtype)
        columns = tf.cast(tf.pad(columns, [[0, 0], [0, channels // 2]]), inputs.dtype)
        # [h, 1, d] and [1, w, d]
        return inputs + (rows[:, None] + columns[None])

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the inputs."""
        return input_shape

    def by_keras_operations(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the same of a symbolic float32 tensor, by operations of Keras alone, for exports.

        Where height and width are known, two constants are added. Where not, rows and columns are counted by sums of
        ones, which not every device can do.
        """
        _, height, width, channels = inputs.shape
        half = np.zeros((1, channels // 2), np.float32)
        if height is not None and width is not None:
            rows, columns = position_table(height, channels), position_table(width, channels)
            rows = np.concatenate([np.repeat(half, height, axis=0), rows], axis=1)[None, :, None]
            columns = np.concatenate([columns, np.repeat(half, width, axis=0)], axis=1)[None, None]
            return keras.ops.add(keras.ops.add(inputs, rows), columns)
        omega = frequencies(channels).astype(np.float32)
        ones = keras.ops.ones_like(keras.ops.sum(inputs, axis=-1, keepdims=True))  # [n, h, w, 1]
        parts = []
        for axis in (2, 1):
            angles = keras.ops.multiply(keras.ops.subtract(keras.ops.cumsum(ones, axis=axis), 1.0), omega)
            parts += [keras.ops.sin(angles), keras.ops.cos(angles)]
        return keras.ops.add(inputs, keras.ops.concatenate(parts, axis=-1))


def _table(size: tf.Tensor, channels: int) -> tf.Tensor:
    """Returns the same as `position_table` for a size that only the running graph knows."""
    angles = tf.range(tf.cast(size, tf.float32))[:, None] * tf.constant(frequencies(channels), tf.float32)
    return tf.concat([tf.sin(angles), tf.cos(angles)], axis=1)
