"""Named, seeded layers with PyTorch's padding and initialization.

A layer's name is its PyTorch name with "_" for ".": "layer1_0_conv1" is "layer1.0.conv1". Its first weights follow from
the seed and this name alone, never from the order in which layers are made.
"""

import math
import zlib
from dataclasses import dataclass

import keras

from barlowtf.models.convolution import Convolution
from barlowtf.models.normalization import BatchNormalization


def layer_seed(seed: int, name: str) -> int:
    """Seed of the layer called `name`, in [0, 2³¹), from the model's seed."""
    return zlib.crc32(f"{seed}/{name}".encode()) & 0x7FFFFFFF


@dataclass(frozen=True)
class Layers:
    """Adds layers to a functional model.

    Attributes:
        dtype: Keras dtype policy, "float32" or "mixed_bfloat16"; None: the global one.
        seed: Seed of the model's first weights, >= 0.
    """

    dtype: str | None
    seed: int

    def convolution(
        self, x: keras.KerasTensor, filters: int, kernel_size: int, stride: int, *, name: str
    ) -> keras.KerasTensor:
        """Convolution without bias, padded by (kernel_size - 1) / 2 zeros on every side, odd kernel sizes.

        "same" is this padding at stride 1 only: at stride 2 TensorFlow pads an even image on one side more. There the
        padding is a layer of its own, because `tf.nn.conv2d` with explicit padding leaves the fast kernels on a CPU
        (thirty times slower in bfloat16 training).

        Source: He et al., arXiv:1502.01852 (weights N(0, 2 / fan_out)); torchvision resnet.py.
        """
        padding = "same" if stride == 1 else "valid"
        border = (kernel_size - 1) // 2 if stride > 1 else 0
        if border:
            x = keras.layers.ZeroPadding2D(border, name=f"{name}_pad", dtype=self.dtype)(x)
        return Convolution(
            filters,
            kernel_size,
            stride,
            padding,
            border=border,
            use_bias=False,
            kernel_initializer=keras.initializers.VarianceScaling(
                2.0, "fan_out", "untruncated_normal", seed=layer_seed(self.seed, name)
            ),
            name=name,
            dtype=self.dtype,
        )(x)

    def padded_convolution(
        self, x: keras.KerasTensor, filters: int, kernel_size: int, zeros: int, *, name: str
    ) -> keras.KerasTensor:
        """Convolution at stride 1 without bias, behind `zeros` zeros on every side.

        Source: PyTorch nn.Conv2d (weights U(-1/√fan_in, 1/√fan_in)).
        """
        x = keras.layers.ZeroPadding2D(zeros, name=f"{name}_pad", dtype=self.dtype)(x)
        return Convolution(
            filters,
            kernel_size,
            1,
            "valid",
            use_bias=False,
            kernel_initializer=keras.initializers.VarianceScaling(
                1 / 3, "fan_in", "uniform", seed=layer_seed(self.seed, name)
            ),
            name=name,
            dtype=self.dtype,
        )(x)

    def linear(self, x: keras.KerasTensor, units: int, *, name: str, bias: bool = False) -> keras.KerasTensor:
        """Linear layer, without a bias unless asked for.

        Source: PyTorch nn.Linear (weights and biases U(-1/√fan_in, 1/√fan_in)).
        """
        bound = 1 / math.sqrt(x.shape[-1])
        return keras.layers.Dense(
            units,
            use_bias=bias,
            kernel_initializer=keras.initializers.VarianceScaling(
                1 / 3, "fan_in", "uniform", seed=layer_seed(self.seed, name)
            ),
            bias_initializer=keras.initializers.RandomUniform(
                -bound, bound, seed=layer_seed(self.seed, f"{name}.bias")
            ),
            name=name,
            dtype=self.dtype,
        )(x)

    def normalization(self, x: keras.KerasTensor, *, name: str, gamma: str = "ones") -> keras.KerasTensor:
        """Batch normalization whose gamma starts at `gamma`, "ones" or "zeros"."""
        return BatchNormalization(gamma_initializer=gamma, name=name, dtype=self.dtype)(x)

    def relu(self, x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
        """Values below zero become zero."""
        return keras.layers.ReLU(name=name, dtype=self.dtype)(x)
