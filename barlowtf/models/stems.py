"""The first layers of a ResNet: from an image to the first stage."""

import keras

from barlowtf.models.layers import Layers


def imagenet_stem(layers: Layers, x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
    """7×7 convolution at stride 2, normalization, ReLU, 3×3 max pool at stride 2: a quarter of height and width.

    Args:
        layers: Maker of the layers.
        x: float [N, H, W, C].
        filters: Channels of the output.

    Returns:
        float [N, ⌈H/4⌉, ⌈W/4⌉, filters], >= 0.

    Source: torchvision resnet.py.
    """
    x = layers.convolution(x, filters, 7, 2, name="conv1")
    x = layers.normalization(x, name="bn1")
    x = layers.relu(x, name="relu")
    # PyTorch pads with -inf. After a ReLU zeros give the same maximum and the same gradient.
    x = keras.layers.ZeroPadding2D(1, name="maxpool_pad", dtype=layers.dtype)(x)
    return keras.layers.MaxPooling2D(3, 2, "valid", name="maxpool", dtype=layers.dtype)(x)


def small_stem(layers: Layers, x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
    """3×3 convolution, normalization, ReLU, for small images: height and width stay.

    Args:
        layers: Maker of the layers.
        x: float [N, H, W, C].
        filters: Channels of the output.

    Returns:
        float [N, H, W, filters], >= 0.

    Source: arXiv:2002.05709, appendix B.9.
    """
    x = layers.convolution(x, filters, 3, 1, name="conv1")
    x = layers.normalization(x, name="bn1")
    return layers.relu(x, name="relu")


def small_padded_stem(layers: Layers, x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
    """The small stem with two zeros on every side, which add two pixels to height and width, and other first weights.

    Args:
        layers: Maker of the layers.
        x: float [N, H, W, C].
        filters: Channels of the output.

    Returns:
        float [N, H + 2, W + 2, filters], >= 0.

    Source: solo-learn 9187ea3, solo/methods/base.py: its first convolution for CIFAR, which has PyTorch's own first
        weights.
    """
    x = layers.padded_convolution(x, filters, 3, 2, name="conv1")
    x = layers.normalization(x, name="bn1")
    return layers.relu(x, name="relu")


def half_stem(layers: Layers, x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
    """3×3 convolution at stride 2, normalization, ReLU: half of height and width, for small images and little time.

    A network of twice the width costs about the same behind it, and runs faster on a CPU, whose kernels want channels.

    Args:
        layers: Maker of the layers.
        x: float [N, H, W, C].
        filters: Channels of the output.

    Returns:
        float [N, ⌈H/2⌉, ⌈W/2⌉, filters], >= 0.
    """
    x = layers.convolution(x, filters, 3, 2, name="conv1")
    x = layers.normalization(x, name="bn1")
    return layers.relu(x, name="relu")


STEMS = {"imagenet": imagenet_stem, "small": small_stem, "small_padded": small_padded_stem, "half": half_stem}
# Kernel size, stride and zeros on every side of the first convolution.
_FIRST_CONVOLUTIONS = {(7, 2, 3): "imagenet", (3, 1, 1): "small", (3, 1, 2): "small_padded", (3, 2, 1): "half"}


def stem_of(encoder: keras.Model) -> str:
    """Returns the name of a ResNet's stem, in Keras' own layers too.

    Raises:
        ValueError: It is not a ResNet of barlowtf.
    """
    layers = {layer.name: layer for layer in encoder.layers}
    first, border = layers.get("conv1"), layers.get("conv1_pad")
    if first is None:
        raise ValueError("Invalid model: received none with a layer conv1, expected a ResNet of barlowtf.")
    size, stride = first.kernel_size[0], first.strides[0]
    zeros = size // 2 if border is None else border.padding[0][0]
    if (size, stride, zeros) not in _FIRST_CONVOLUTIONS:
        raise ValueError(
            f"Invalid first convolution: received {size}x{size} at stride {stride} behind {zeros} zeros, expected 7x7 "
            "at stride 2, or 3x3 at stride 1 or 2."
        )
    return _FIRST_CONVOLUTIONS[size, stride, zeros]
