"""A PyTorch state dict with the names that the encoder's kind gives its weights: torchvision's for ResNets."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from barlowtf import augment
from barlowtf.convert import load_torch_weights, state_dict_of, write_tensors
from barlowtf.errors import ConversionError, ExportError
from barlowtf.export.comparison import compare_outputs
from barlowtf.export.format import Format, Material, Replayed, write_class_names
from barlowtf.export.network import Parts
from barlowtf.models import extract_features


def _check(material: Material) -> None:
    _state(material.parts)


def _write(material: Material, folder: Path) -> dict[str, str]:
    write_tensors(folder / "model.pth", _state(material.parts))
    write_class_names(material.parts, folder)
    return {"model.pth": "float32"}


def _state(parts: Parts) -> dict[str, np.ndarray]:
    try:
        return state_dict_of(parts.encoder, head=parts.head, names=_names(parts))
    except ValueError as error:
        raise ExportError(f"The encoder {parts.encoder.name} cannot be written for PyTorch. {error}") from error


def _names(parts: Parts) -> Mapping[str, str]:
    kind = parts.family
    if kind is None or kind.torch_names is None:
        raise ExportError(
            f"The encoder {parts.encoder.name} cannot be written for PyTorch: its kind does not say how PyTorch calls "
            "its layers. Choose another --format, or give it an EncoderKind with torch_names."
        )
    return kind.torch_names(parts.encoder)


def read_torch(path: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the tensors of a PyTorch file by name; runs in a fresh process."""
    import torch

    return {name: value.numpy() for name, value in torch.load(path, weights_only=True).items()}


def _compare(replayed: Replayed) -> dict[str, Any]:
    """Returns the figures of a file whose tensors make an encoder again, in the precision of the source."""
    parts = replayed.parts
    copy = keras.models.clone_model(parts.encoder)
    try:
        load_torch_weights(copy, replayed.found, names=_names(parts))
    except ConversionError as error:
        raise ExportError(f"{replayed.path.name} does not read back: {error} Nothing was written.") from error
    images = [augment.normalize(tf.cast(replayed.views, tf.float32) / 255.0, parts.mean, parts.std)]
    expected, found = ({"features": extract_features(model, images)} for model in (parts.encoder, copy))
    return compare_outputs(expected, found)


TORCH = Format(
    files=("*.pth",),
    write=_write,
    read=read_torch,
    compare=_compare,
    check=_check,
    packages=("torch",),
    extra="torch",
)
