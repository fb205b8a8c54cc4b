"""Weights of other libraries. PyTorch is needed only where one of its files is read or written."""

from barlowtf.convert.recorded import RecordedDifference, compare_with_recorded
from barlowtf.convert.resnet_names import TorchWeight, from_torch_layout, named_weights, to_torch_layout
from barlowtf.convert.state_dict import state_dict_of
from barlowtf.convert.torch_files import read_tensors, write_tensors
from barlowtf.convert.torch_weights import (
    LoadedWeights,
    TorchModels,
    load_torch_weights,
    make_encoder_of,
    make_models_of,
)

__all__ = [
    "LoadedWeights",
    "RecordedDifference",
    "TorchModels",
    "TorchWeight",
    "compare_with_recorded",
    "from_torch_layout",
    "load_torch_weights",
    "make_encoder_of",
    "make_models_of",
    "named_weights",
    "read_tensors",
    "state_dict_of",
    "to_torch_layout",
    "write_tensors",
]
