"""ResNet v1.5: residual stages with the stride in the 3×3 convolution.

Gamma of each block's last normalization starts at 0, so that each block starts as the identity, unless
`zero_residual` is off: the authors of Barlow Twins ask torchvision for it (zero_init_residual), whose default is 1.

Source: arXiv:1512.03385; torchvision resnet.py; facebookresearch/barlowtwins main.py, BarlowTwins.__init__.
"""

import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from barlowtf.models.encoder_kind import EncoderKind
from barlowtf.models.folding import find_folds
from barlowtf.models.layers import Layers
from barlowtf.models.stems import STEMS
from barlowtf.models.timm_model import TimmModel

Block = Callable[..., keras.KerasTensor]
_SMALL_IMAGE = 64
_IMAGENET_KERNEL, _TIMM_BASE = 7, 64
# Those with a name in timm; the others are one of these with other numbers of blocks.
_TIMM_DEPTHS, _KERAS_HUB_DEPTHS = (18, 34, 50, 101, 152, 200), (18, 34, 50, 101, 152)
_BLOCK_LAYER = re.compile(r"layer(\d+)_(\d+)_(downsample_)?")


def basic_block(
    layers: Layers, x: keras.KerasTensor, channels: int, stride: int, name: str, last_gamma: str = "zeros"
) -> keras.KerasTensor:
    """Two 3×3 convolutions and a shortcut.

    Args:
        layers: Maker of the layers.
        x: float [N, H, W, c].
        channels: Channels of the output.
        stride: Stride of the first convolution, 1 or 2.
        name: Name of the block, "layer1_0".
        last_gamma: First gamma of the last normalization, "zeros" or "ones".

    Returns:
        float [N, ⌈H/stride⌉, ⌈W/stride⌉, channels].
    """
    y = layers.convolution(x, channels, 3, stride, name=f"{name}_conv1")
    y = layers.normalization(y, name=f"{name}_bn1")
    y = layers.relu(y, name=f"{name}_relu1")
    y = layers.convolution(y, channels, 3, 1, name=f"{name}_conv2")
    y = layers.normalization(y, name=f"{name}_bn2", gamma=last_gamma)
    return _join(layers, x, y, stride, name)


def bottleneck_block(
    layers: Layers, x: keras.KerasTensor, channels: int, stride: int, name: str, last_gamma: str = "zeros"
) -> keras.KerasTensor:
    """1×1, 3×3 and 1×1 convolutions and a shortcut.

    Args:
        layers: Maker of the layers.
        x: float [N, H, W, c].
        channels: Channels between the convolutions; the output has four times as many.
        stride: Stride of the 3×3 convolution, 1 or 2.
        name: Name of the block, "layer1_0".
        last_gamma: First gamma of the last normalization, "zeros" or "ones".

    Returns:
        float [N, ⌈H/stride⌉, ⌈W/stride⌉, 4 * channels].
    """
    y = layers.convolution(x, channels, 1, 1, name=f"{name}_conv1")
    y = layers.normalization(y, name=f"{name}_bn1")
    y = layers.relu(y, name=f"{name}_relu1")
    y = layers.convolution(y, channels, 3, stride, name=f"{name}_conv2")
    y = layers.normalization(y, name=f"{name}_bn2")
    y = layers.relu(y, name=f"{name}_relu2")
    y = layers.convolution(y, 4 * channels, 1, 1, name=f"{name}_conv3")
    y = layers.normalization(y, name=f"{name}_bn3", gamma=last_gamma)
    return _join(layers, x, y, stride, name)


def _join(
    layers: Layers, shortcut: keras.KerasTensor, y: keras.KerasTensor, stride: int, name: str
) -> keras.KerasTensor:
    """ReLU of shortcut + y; a shortcut of another shape passes a 1×1 convolution first."""
    if stride != 1 or shortcut.shape[-1] != y.shape[-1]:
        shortcut = layers.convolution(shortcut, y.shape[-1], 1, stride, name=f"{name}_downsample_0")
        shortcut = layers.normalization(shortcut, name=f"{name}_downsample_1")
    y = keras.layers.Add(name=f"{name}_add", dtype=layers.dtype)([y, shortcut])
    return layers.relu(y, name=f"{name}_relu")


# Depth in the name -> block, and blocks in each of the four stages.
RESNETS: dict[int, tuple[Block, tuple[int, int, int, int]]] = {
    10: (basic_block, (1, 1, 1, 1)),
    18: (basic_block, (2, 2, 2, 2)),
    34: (basic_block, (3, 4, 6, 3)),
    50: (bottleneck_block, (3, 4, 6, 3)),
    101: (bottleneck_block, (3, 4, 23, 3)),
    152: (bottleneck_block, (3, 8, 36, 3)),
    200: (bottleneck_block, (3, 24, 36, 3)),
}


def resnet_name(depth: int, base: int) -> str:
    """Returns the name of a ResNet: "resnet18", or with another width "resnet18_w0p5".

    Args:
        depth: Key of `RESNETS`.
        base: Channels of the first stage; 64 at width 1.
    """
    width = "" if base == 64 else f"_w{base / 64!r}".removesuffix(".0").replace(".", "p")
    return f"resnet{depth}{width}"


def residual_stages(
    layers: Layers, x: keras.KerasTensor, depth: int, base: int, last_gamma: str = "zeros"
) -> keras.KerasTensor:
    """The four stages of a ResNet; each but the first halves height and width and doubles the channels.

    Args:
        layers: Maker of the layers.
        x: float [N, H, W, base], from the stem.
        depth: Key of `RESNETS`.
        base: Channels of the first stage, 64 at width 1.
        last_gamma: As of the blocks.

    Returns:
        float [N, ⌈H/8⌉, ⌈W/8⌉, d], >= 0; d = 8 * base for basic blocks, 32 * base for bottlenecks.
    """
    block, counts = RESNETS[depth]
    for stage, count in enumerate(counts, start=1):
        for index in range(count):
            stride = 2 if stage > 1 and index == 0 else 1
            x = block(layers, x, base * 2 ** (stage - 1), stride, f"layer{stage}_{index}", last_gamma)
    return x


def build_resnet(
    name: str,
    *,
    image_shape: tuple[int | None, int | None, int],
    stem: str,
    dtype: str | None,
    seed: int,
    zero_residual: bool = True,
) -> keras.Model:
    """A ResNet v1.5 without its classifier; see `barlowtf.models.make_encoder` for arguments and result."""
    depth, base = parse_resnet(name)
    height = image_shape[0]
    if stem == "auto":
        stem = "small" if height is not None and height < _SMALL_IMAGE else "imagenet"
    layers = Layers(dtype, seed)
    images = keras.Input(image_shape, dtype="float32", name="images")
    x = STEMS[stem](layers, images, base)
    x = residual_stages(layers, x, depth, base, "zeros" if zero_residual else "ones")
    # In float32, because a mean of many bfloat16 values loses digits, and features are stored and compared.
    features = keras.layers.GlobalAveragePooling2D(name="avgpool", dtype="float32")(x)
    return keras.Model(images, features, name=name)


def torch_names(model: keras.Model) -> dict[str, str]:
    """Returns the PyTorch module of each layer of a ResNet or a projector, in the order of PyTorch's modules."""
    return {layer.name: layer.name.replace("_", ".") for layer in sorted(model.layers, key=_place)}


def timm_resnet(model: keras.Model, size: int) -> TimmModel:
    """Returns the same ResNet in timm, see `barlowtf.models.EncoderKind`; `size` does not matter.

    Raises:
        ValueError: timm has none with these first layers or this width.

    Source: timm resnet.py, ResNet.
    """
    depth, base = parse_resnet(model.name)
    kernel = model.get_layer("conv1").kernel_size[0]
    if kernel != _IMAGENET_KERNEL or base != _TIMM_BASE:
        found = f"{kernel}x{kernel} and {base} channels"
        raise ValueError(f"received a first convolution of {found}, expected 7x7 and 64: timm has no other ResNets")
    parts = {"kernel": "weight", "gamma": "weight", "beta": "bias"}
    parts |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
    weights = {
        f"{module}.{parts[variable.name]}": (variable,)
        for layer, module in torch_names(model).items()
        for variable in model.get_layer(layer).weights
    }
    counters = [name.replace("running_var", "num_batches_tracked") for name in weights if name.endswith("running_var")]
    block, counts = RESNETS[depth]
    standard = depth if depth in _TIMM_DEPTHS else 18 if block is basic_block else 50
    arguments: dict[str, Any] = {} if standard == depth else {"layers": list(counts)}
    channels = int(model.input_shape[-1])
    return TimmModel(
        f"resnet{standard}",
        arguments | ({} if channels == 3 else {"in_chans": channels}),
        "fc",
        weights,
        depth in _KERAS_HUB_DEPTHS and channels == 3,
        {name: np.zeros((), np.int64) for name in counters},
    )


def detector_cut(model: keras.Model) -> tuple[str, str]:
    """Returns the last layers of conv4 and of conv5, see `barlowtf.models.EncoderKind`."""
    depth, _ = parse_resnet(model.name)
    _, counts = RESNETS[depth]
    return f"layer3_{counts[2] - 1}_relu", f"layer4_{counts[3] - 1}_relu"


def _place(layer: keras.Layer) -> tuple[int, int, bool]:
    """Returns a sort key: Keras has a block's shortcut before its last normalization, torchvision at the end."""
    match = _BLOCK_LAYER.match(layer.name)
    return (int(match[1]), int(match[2]), match[3] is not None) if match else (0, 0, False)


def parse_resnet(name: str) -> tuple[int, int]:
    """Returns depth and channels of the first stage from an encoder's name."""
    match = re.fullmatch(_PATTERN, name)
    if match is None or int(match[1]) not in RESNETS:
        known = ", ".join(f"resnet{depth}" for depth in RESNETS)
        raise ValueError(
            f'Invalid encoder: received "{name}", expected one of {known}, or one with a width: resnet50_w2.'
        )
    base = round(64 * float((match[2] or "1").replace("p", ".")))
    if not 1 <= base <= 64 * _WIDEST:
        raise ValueError(
            f'Invalid encoder: received "{name}", expected a width from 1/64 (one channel in the first stage) to '
            f"{_WIDEST}."
        )
    return int(match[1]), base


# The widest that was published is 4 times as wide.
_WIDEST = 16
_PATTERN = r"resnet(\d+)(?:_w(\d+(?:p\d+)?))?"
RESNET = EncoderKind(
    _PATTERN,
    build_resnet,
    find_folds,
    torch_names,
    timm_resnet,
    stems=tuple(STEMS),
    zero_residual=True,
    detector_cut=detector_cut,
    members=(*(f"resnet{depth}" for depth in RESNETS), "resnet50_w2", "resnet18_w0p5"),
)
