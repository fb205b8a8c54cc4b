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
