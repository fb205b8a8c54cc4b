"""Convolution whose filter gradient is a few matrix products where images have become small.

Letters: k × k the kernel, s the stride, p the zeros on every side; x [n, H, W, C] the input without these zeros, g
[n, h, w, K] the gradient of the output. Entry (i, j) of the kernel meets input row s r + i - p at output row r, so its
gradient is the product of two matrices, Σ x[·, s r + i - p, s c + j - p, :]ᵀ g[·, r, c, :] over the rows r and columns
c whose input lies inside the image. Zeros take part in no product: of 3 × 3 kernels on 2 × 2 images that leaves 16 of
36.

A CPU's kernel for the same gradient wants large images: at 4 × 4 and 512 channels it takes 2.8 times as long in
bfloat16, at 2 × 2 4.9 times (benchmarks/results/filter_gradient.json).
"""

import keras
import tensorflow as tf

# Height and width of the output up to which the products are the faster way; measured, see above.
_LARGEST_SIDE = 4


@keras.saving.register_keras_serializable(package="barlowtf")
class Convolution(keras.layers.Conv2D):
    """`keras.layers.Conv2D` with a faster gradient on a CPU, for square kernels and strides.

    Output and weights are those of Keras; gradients differ by the rounding of sums in another order.
    """

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Returns the convolution of inputs [n, H, W, C] and kernel [k, k, C, K], without the bias: [n, h, w, K]."""
        stride, padding = self.strides[0], self.padding.upper()
        height, width = self.compute_output_shape(inputs.shape)[1:3]
        small = height is not None and width is not None and max(height, width) <= _LARGEST_SIDE
        if not small or not self._is_plain() or _has_accelerator():
            return super().convolution_op(inputs, kernel)
        # A tensor: `tf.custom_gradient` treats a variable as something that it has not been given.
        return _convolve(inputs, tf.convert_to_tensor(kernel), stride, padding)

    def _is_plain(self) -> bool:
        """Returns whether the derivation above holds. Where a stride meets "same", sides are padded differently."""
        square = len({*self.kernel_size}) == len({*self.strides}) == 1
        plain = self.groups == 1 and set(self.dilation_rate) == {1} and self.data_format == "channels_last"
        return square and plain and (self.padding == "valid" or set(self.strides) == {1})


def _convolve(x: tf.Tensor, kernel: tf.Tensor, stride: int, padding: str) -> tf.Tensor:
    @tf.custom_gradient
    def convolution(x: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, object]:
        def gradient(g: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            strides = [1, stride, stride, 1]
            of_x = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(x), filter=kernel, out_backprop=g, strides=strides, padding=padding
            )
            return of_x, filter_gradient(x, g, kernel.shape[0], stride, padding)

        return tf.nn.conv2d(x, kernel, stride, padding), gradient

    return convolution(x, kernel)


def filter_gradient(x: tf.Tensor, g: tf.Tensor, size: int, stride: int, padding: str) -> tf.Tensor:
    """Gradient of a convolution by its kernel, as one matrix product for each of the kernel's entries.

    Args:
        x: Input, float [n, H, W, C], H and W known.
        g: Gradient of the output, of the same dtype, [n, h, w, K], h and w known.
        size: k, odd.
        stride: s, >= 1; 1 with "SAME".
        padding: "VALID": p = 0; "SAME": p = (k - 1) / 2.

    Returns:
        [k, k, C, K], dtype of `x`.
    """
    zeros = (size - 1) // 2 if padding == "SAME" else 0
    channels, filters = x.shape[3], g.shape[3]
    rows = [_overlap(entry - zeros, stride, x.shape[1], g.shape[1]) for entry in range(size)]
    columns = [_overlap(entry - zeros, stride, x.shape[2], g.shape[2]) for entry in range(size)]
    products = [
        tf.matmul(
            tf.reshape(x[:, row_x, column_x], [-1, channels]),
            tf.reshape(g[:, row_g, column_g], [-1, filters]),
            transpose_a=True,
        )
        for row_x, row_g in rows
        for column_x, column_g in columns
    ]
    return tf.reshape(tf.stack(products), [size, size, channels, filters])


def _overlap(offset: int, stride: int, inputs: int, outputs: int) -> tuple[slice, slice]:
    """Returns the input and output places with input = stride * output + offset, both inside; empty where none are."""
    first = max(0, -(offset // stride))  # the least r with stride * r + offset >= 0
    last = min(outputs - 1, (inputs - 1 - offset) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    return slice(stride * first + offset, stride * last + offset + 1, stride), slice(first, last + 1)


def _has_accelerator() -> bool:
    return any(device.device_type in ("GPU", "TPU") for device in tf.config.list_logical_devices())
