"""PyTorch's names and layouts of an encoder's weights.

A layer's name is its torchvision name with "_" for "."; a convolution's kernel is OIHW there and HWIO here.
"""

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


class TorchWeight(NamedTuple):
    """A weight of an encoder and how PyTorch stores it."""

    variable: keras.Variable
    shape: tuple[int, ...]  # in PyTorch's layout


def named_weights(encoder: keras.Model) -> dict[str, TorchWeight]:
    """Returns every weight of an encoder under its torchvision name, in the order of the layers.

    Args:
        encoder: See `barlowtf.models.make_encoder`.

    Raises:
        ValueError: The model has weights that torchvision's ResNets have not.
    """
    weights = {}
    for layer in encoder.layers:
        for variable in layer.weights:
            if variable.name not in _TORCH_WEIGHT:
                raise ValueError(
                    f"Received a model with the weight {variable.path}. "
                    "Expected an encoder of barlowtf: convolutions without bias and batch normalizations."
                )
            name = f"{layer.name.replace('_', '.')}.{_TORCH_WEIGHT[variable.name]}"
            shape = tuple(variable.shape)
            weights[name] = TorchWeight(variable, (*shape[:-3:-1], *shape[:-2]))  # HWIO -> OIHW; vectors stay
    return weights


def to_torch_layout(value: np.ndarray) -> np.ndarray:
    """Returns a kernel [H, W, I, O] as [O, I, H, W]; vectors stay."""
    return value.transpose(3, 2, 0, 1) if value.ndim == 4 else value


def from_torch_layout(value: np.ndarray) -> np.ndarray:
    """Returns a kernel [O, I, H, W] as [H, W, I, O]; vectors stay."""
    return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value
