"""PyTorch's names and layouts of an encoder's weights.

A layer's name is its torchvision name with "_" for "."; a convolution's kernel is OIHW there and HWIO here, a linear
layer's [out, in] there and [in, out] here.
"""

import re
from typing import NamedTuple

import keras
import numpy as np

_TORCH_WEIGHT = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_BLOCK_LAYER = re.compile(r"layer(\d+)_(\d+)_(downsample_)?")


class TorchWeight(NamedTuple):
    """A weight of a model and how PyTorch stores it."""

    variable: keras.Variable
    shape: tuple[int, ...]  # in PyTorch's layout


def named_weights(model: keras.Model) -> dict[str, TorchWeight]:
    """Returns every weight of an encoder or projector under its PyTorch name, in PyTorch's order.

    Args:
        model: See `barlowtf.models.make_encoder` and `make_projector`; the same in Keras' own layers too.

    Raises:
        ValueError: The model has weights that torchvision's ResNets and the authors' projector have not.
    """
    weights = {}
    for layer in sorted(model.layers, key=_place):
        for variable in layer.weights:
            if variable.name not in _TORCH_WEIGHT:
                raise ValueError(
                    f"Received a model with the weight {variable.path}. Expected an encoder of barlowtf: "
                    "convolutions without bias and batch normalizations; or its projector."
                )
            name = f"{layer.name.replace('_', '.')}.{_TORCH_WEIGHT[variable.name]}"
            shape = tuple(variable.shape)
            # HWIO -> OIHW; [in, out] -> [out, in]; vectors stay
            weights[name] = TorchWeight(variable, (*shape[:-3:-1], *shape[:-2]))
    return weights


def _place(layer: keras.Layer) -> tuple[int, int, bool]:
    """Returns a sort key: Keras has a block's shortcut before its last normalization, torchvision at the end."""
    match = _BLOCK_LAYER.match(layer.name)
    return (int(match[1]), int(match[2]), match[3] is not None) if match else (0, 0, False)


def to_torch_layout(value: np.ndarray) -> np.ndarray:
    """Returns a kernel [H, W, I, O] as [O, I, H, W], a matrix [I, O] as [O, I]; vectors stay."""
    return value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T


def from_torch_layout(value: np.ndarray) -> np.ndarray:
    """Returns a kernel [O, I, H, W] as [H, W, I, O], a matrix [O, I] as [I, O]; vectors stay."""
    return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T
