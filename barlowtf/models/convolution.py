"""Convolution that takes matrix products where images have become small, on a processor."""

from typing import Any

import keras
import tensorflow as tf

from barlowtf.models.small_convolution import filter_gradient, is_small, small_convolution

# Height and width of the output up to which products are the faster filter gradient.
_LARGEST_SIDE = 4


@keras.saving.register_keras_serializable(package="barlowtf")
class Convolution(keras.layers.Conv2D):
    """`keras.layers.Conv2D` that is faster on a CPU where images are small, for square kernels and strides.

    Weights are those of Keras; outputs and gradients differ by the rounding of sums in another order.
    """

    def __init__(self, *args: Any, border: int = 0, **kwargs: Any) -> None:
        """Takes what Keras' layer does.

        Args:
            *args: See `keras.layers.Conv2D`.
            border: Zeros on every side of the input, which a layer before has put there; their gradient may be
                anything.
            **kwargs: See `keras.layers.Conv2D`.
        """
        super().__init__(*args, **kwargs)
        self.border = border

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Returns the convolution of inputs [n, H, W, C] and kernel [k, k, C, K], without the bias: [n, h, w, K]."""
        stride, padding = self.strides[0], self.padding.upper()
        shape = self.compute_output_shape(inputs.shape)
        height, width = shape[1:3]
        small = height is not None and width is not None and max(height, width) <= _LARGEST_SIDE
        if not small or not self._is_plain() or _has_accelerator():
            return super().convolution_op(inputs, kernel)
        # A tensor: `tf.custom_gradient` treats a variable as something that it has not been given.
        kernel = tf.convert_to_tensor(kernel)
        zeros = (self.kernel_size[0] - 1) // 2 if padding == "SAME" else 0
        if is_small(inputs, kernel, shape, self.border):
            return small_convolution(inputs, kernel, stride=stride, zeros=zeros, border=self.border)
        return _convolve(inputs, kernel, stride, zeros)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "border": self.border}

    def _is_plain(self) -> bool:
        """Returns whether the derivation above holds. Where a stride meets "same", sides are padded differently."""
        square = len({*self.kernel_size}) == len({*self.strides}) == 1
        plain = self.groups == 1 and set(self.dilation_rate) == {1} and self.data_format == "channels_last"
        return square and plain and (self.padding == "valid" or set(self.strides) == {1})


def _convolve(x: tf.Tensor, kernel: tf.Tensor, stride: int, zeros: int) -> tf.Tensor:
    """Returns TensorFlow's convolution, with the filter gradient by products; `zeros` at stride 1 only."""
    padding = "SAME" if zeros else "VALID"

    @tf.custom_gradient
    def convolution(x: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, object]:
        def gradient(g: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            strides = [1, stride, stride, 1]
            of_x = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(x), filter=kernel, out_backprop=g, strides=strides, padding=padding
            )
            return of_x, filter_gradient(x, g, kernel.shape[0], stride, zeros)

        return tf.nn.conv2d(x, kernel, stride, padding), gradient

    return convolution(x, kernel)


def _has_accelerator() -> bool:
    return any(device.device_type in ("GPU", "TPU") for device in tf.config.list_logical_devices())
