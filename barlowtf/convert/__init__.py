"""Weights of other libraries. PyTorch is needed only where one of its files is read."""

from barlowtf.convert.resnet_names import TorchWeight, from_torch_layout, named_weights, to_torch_layout
from barlowtf.convert.torch_weights import LoadedWeights, load_torch_weights, make_encoder_of

__all__ = [
    "LoadedWeights",
    "TorchWeight",
    "from_torch_layout",
    "load_torch_weights",
    "make_encoder_of",
    "named_weights",
    "to_torch_layout",
]
