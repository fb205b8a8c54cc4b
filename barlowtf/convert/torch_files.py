"""Tensors of a PyTorch or safetensors file as NumPy arrays, without running what the file holds."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from barlowtf.errors import ConversionError


def read_tensors(source: str | Path | Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns the tensors of a file, or of a dict, by name.

    Args:
        source: A file of torch.save (a state dict, or a checkpoint that holds one under "model"), a `.safetensors`
            file, or such a dict of tensors or arrays.

    Returns:
        Name -> array; entries that are no tensors are left out.

    Raises:
        ConversionError: The file is missing or unreadable, holds other objects than tensors, holds none, or needs a
            package that is not installed.
    """
    if isinstance(source, Mapping):
        name, content = "the given dict", source
    else:
        path = Path(source)
        if not path.is_file():
            raise ConversionError(f"No such file: {path}. Expected a .pth or .safetensors file.")
        name, content = str(path), _load_safetensors(path) if path.suffix == ".safetensors" else _load_torch(path)
    # The authors' checkpoint.pth: epoch, model, optimizer.
    inner = content.get("model") if isinstance(content, Mapping) else None
    state = inner if isinstance(inner, Mapping) else content
    tensors = {str(key): _to_numpy(value) for key, value in _items(state) if hasattr(value, "shape")}
    if not tensors:
        raise ConversionError(f'{name} holds no tensors by name. Expected a state dict, or one under "model".')
    return tensors


def _items(state: Any) -> Any:
    return state.items() if isinstance(state, Mapping) else ()


def _load_torch(path: Path) -> Any:
    try:
        import torch
    except ImportError as error:
        raise ConversionError(
            f"Reading {path} needs PyTorch, which is not installed. Run: pip install 'barlowtf[torch]'"
        ) from error
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ConversionError(
            f"{path} holds other objects than tensors, and loading those could run any program: {_reason(error)}. "
            "Save the model's state_dict() alone."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ConversionError(
            f"Cannot read {path}: {_reason(error)}. Expected a file of torch.save. Copy or download it again."
        ) from error


def _load_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise ConversionError(
            f"Reading {path} needs the package safetensors, which is not installed. Run: pip install 'barlowtf[torch]'"
        ) from error
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise ConversionError(f"Cannot read {path}: {_reason(error)}. Copy or download it again.") from error


def _to_numpy(value: Any) -> np.ndarray:
    """Returns a PyTorch tensor, of any device and float type, or an array as an array."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        # NumPy has no bfloat16 of its own.
        value = (value.float() if value.is_floating_point() else value).numpy()
    return np.asarray(value)


def _reason(error: Exception) -> str:
    """Returns the first sentence of an error, one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = next((line for line in lines if "Unsupported" in line or "GLOBAL" in line), lines[0] if lines else "")
    return (text.partition(". ")[0] or type(error).__name__).rstrip(".")
