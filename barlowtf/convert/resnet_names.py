"""PyTorch's names and layouts of an encoder's weights.

A layer's name is its torchvision name with "_" for "."; a convolution's kernel is OIHW there and HWIO here, a linear
layer's [out, in] there and [in, out] here.
"""

from collections.abc import Mapping
from typing import NamedTuple

import keras
import numpy as np

from barlowtf.models.resnet import torch_names

_TORCH_WEIGHT = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
# The only layers that may have a bias.
_PROJECTOR = "projector."


class TorchWeight(NamedTuple):
    """A weight of a model and how PyTorch stores it."""

    variable: keras.Variable
    shape: tuple[int, ...]  # in PyTorch's layout


def named_weights(model: keras.Model, names: Mapping[str, str] | None = None) -> dict[str, TorchWeight]:
    """Returns every weight of an encoder or projector under its PyTorch name, in PyTorch's order.

    Args:
        model: See `barlowtf.models.make_encoder` and `make_projector`; the same in Keras' own layers too.
        names: Layer -> PyTorch module, see `barlowtf.models.EncoderKind`; None: those of ResNets and projectors.

    Raises:
        ValueError: The model has weights that torchvision's ResNets and the authors' projector do not have.
    """
    weights = {}
    for layer_name, module in (torch_names(model) if names is None else names).items():
        for variable in model.get_layer(layer_name).weights:
            part = _TORCH_WEIGHT.get(variable.name)
            if variable.name == "bias" and module.startswith(_PROJECTOR):
                part = "bias"
            if part is None:
                raise ValueError(
                    f"Invalid model: received the weight {variable.path}, expected an encoder of barlowtf "
                    "(convolutions without bias and batch normalizations) or its projector."
                )
            name = f"{module}.{part}"
            shape = tuple(variable.shape)
            # HWIO -> OIHW; [in, out] -> [out, in]; vectors stay
            weights[name] = TorchWeight(variable, (*shape[:-3:-1], *shape[:-2]))
    return weights


def to_torch_layout(value: np.ndarray) -> np.ndarray:
    """Returns a kernel [H, W, I, O] as [O, I, H, W], a matrix [I, O] as [O, I]; vectors stay."""
    return value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T


def from_torch_layout(value: np.ndarray) -> np.ndarray:
    """Returns a kernel [O, I, H, W] as [H, W, I, O], a matrix [O, I] as [I, O]; vectors stay."""
    return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T
