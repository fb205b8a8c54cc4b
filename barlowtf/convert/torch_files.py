"""Tensors of a PyTorch or safetensors file as NumPy arrays, without running what the file holds, and the way back."""

import pickle
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from barlowtf.convert.inert import STAND_INS
from barlowtf.errors import ConversionError

# What an unpickler raises over a damaged file, by the documentation of pickle and by trying.
_DAMAGED = (
    *(RuntimeError, EOFError, OSError, ValueError, LookupError),
    *(TypeError, AttributeError, AssertionError, struct.error, zipfile.BadZipFile, MemoryError),
)
# PyTorch stores values as they are; where somebody has compressed them again, they do not shrink much.
_MOST_EXPANSION, _FREE_BYTES = 20, 2**20
# Where checkpoints hold the state dict: Lightning, MoCo and solo-learn; PyTorch's tutorials; the authors.
_PLACES = ("state_dict", "model_state_dict", "model")
# Keys that lead to a state dict: VISSL has four.
_MOST_KEYS = 5

Keys = tuple[str, ...]


def read_tensors(source: str | Path | Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns the tensors of a file, or of a dict, by name.

    Args:
        source: A file of torch.save (a state dict, or a checkpoint that holds one under "state_dict",
            "model_state_dict" or "model"), a `.safetensors` file, or such a dict of tensors or arrays. What
            `barlowtf.convert.inert` lists may lie beside them.

    Returns:
        Name -> array; entries that are no tensors are left out.

    Raises:
        ConversionError: The file is missing or unreadable, holds other objects than tensors, holds none, or needs a
            package that is not installed.
    """
    name, content = read_content(source)
    tensors = to_arrays(name, state_at(content, usual_place(content)))
    if not tensors:
        expected = "Expected a state dict, or one under " + " or ".join(_PLACES)
        raise ConversionError(f"{name} holds no tensors by name. {expected}.")
    return tensors


def read_content(source: str | Path | Mapping[str, Any]) -> tuple[str, Any]:
    """Returns what to call a file, or a dict, in messages, and what it holds, tensors as they are.

    Args:
        source: As of `read_tensors`.

    Raises:
        ConversionError: As `read_tensors`, but the file may hold no tensors.
    """
    if isinstance(source, Mapping):
        return "the given dict", source
    path = Path(source)
    if not path.is_file():
        raise ConversionError(f"No such file: {path}. Expected a .pth or .safetensors file.")
    return str(path), _load_safetensors(path) if path.suffix == ".safetensors" else _load_torch(path)


def usual_place(content: Any) -> Keys:
    """Returns the keys that lead to the state dict by the names that most programs give it; () is the content itself.

    Args:
        content: What a file holds, see `read_content`.
    """
    keys: Keys = ()
    # One in another, but a file may also hold a dict that holds itself.
    for _ in _PLACES:
        held = state_at(content, keys)
        keys += next(((place,) for place in _PLACES if isinstance(held.get(place), Mapping)), ())
    return keys


def state_at(content: Any, keys: Keys) -> Mapping[str, Any]:
    """Returns the dict that keys lead to; {} where they do not lead to one."""
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content if isinstance(content, Mapping) else {}


def state_dicts(content: Any) -> dict[Keys, list[str]]:
    """Returns the keys that lead to each dict of tensors in a file, and the names of its tensors."""
    found: dict[Keys, list[str]] = {}
    seen: set[int] = set()

    def visit(held: Any, keys: Keys) -> None:
        # A dict may hold itself.
        if not isinstance(held, Mapping) or id(held) in seen or len(keys) > _MOST_KEYS:
            return
        seen.add(id(held))
        names = [key for key, value in held.items() if isinstance(key, str) and hasattr(value, "shape")]
        if names:
            found[keys] = names
        for key, value in held.items():
            if isinstance(key, str):
                visit(value, (*keys, key))

    visit(content, ())
    return found


def to_arrays(name: str, state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns the tensors of a state dict as arrays, by name; entries that are no tensors are left out.

    Args:
        name: Of the file, for messages.
        state: See `state_at`.

    Raises:
        ConversionError: A tensor has no plain values, or declares more than the file holds; or all together do.
    """
    arrays: dict[str, np.ndarray] = {}
    storages: dict[int, int] = {}
    declared = 0
    for key, value in state.items():
        if not hasattr(value, "shape"):
            continue
        arrays[str(key)] = array = _to_numpy(name, key, value)
        if hasattr(value, "untyped_storage"):
            storage = value.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
            declared += array.nbytes
            # Many tensors may be views of the same few values, each a copy here.
            if declared > max(_FREE_BYTES, _MOST_EXPANSION * sum(storages.values())):
                raise ConversionError(
                    f"Refused {name}: its tensors up to {key} declare {declared:,} bytes, and the file holds "
                    f"{sum(storages.values()):,}."
                )
    return arrays


def write_tensors(path: str | Path, state: Mapping[str, np.ndarray]) -> None:
    """Writes arrays by name as a file that PyTorch programs read.

    Args:
        path: Of the file; `.safetensors`, or any other suffix for a state dict as torch.save writes it. A file that is
            there is replaced.
        state: Name -> array; see `barlowtf.convert.state_dict_of`. Their order is kept by torch.save.

    Raises:
        ConversionError: The file needs a package that is not installed.
        OSError: It cannot be written.
    """
    path = Path(path)
    # safetensors would write the memory of a transposed array as it lies, and PyTorch takes none that is read-only.
    arrays = {name: np.require(value, requirements=["C", "W"]) for name, value in state.items()}
    if path.suffix == ".safetensors":
        save = _import_safetensors(f"Writing {path}").save
        # As a file of ours: its own save_file makes one that nobody else may read.
        path.write_bytes(save(arrays, metadata={"format": "pt"}))
        return
    torch = _import_torch(f"Writing {path}")
    with open(path, "wb") as file:
        torch.save({name: torch.from_numpy(value) for name, value in arrays.items()}, file)


def _import_torch(task: str) -> Any:
    try:
        import torch
    except ImportError as error:
        raise ConversionError(
            f"{task} needs PyTorch, which is not installed. Run: pip install 'barlowtf[torch]'"
        ) from error
    return torch


def _import_safetensors(task: str) -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ConversionError(
            f"{task} needs the package safetensors, which is not installed. Run: pip install 'barlowtf[torch]'"
        ) from error
    return safetensors.numpy


def _load_torch(path: Path) -> Any:
    torch = _import_torch(f"Reading {path}")
    _check_archive(path)
    try:
        # Their warnings are about other ways of loading; what is refused is raised.
        with torch.serialization.safe_globals(list(STAND_INS)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return _with_own_methods(torch.load(path, map_location="cpu", weights_only=True))
    except pickle.UnpicklingError as error:
        raise ConversionError(
            f"{path} holds other objects than tensors, and loading those could run any program: {_reason(error)}. "
            "Save the model's state_dict() alone."
        ) from error
    except _DAMAGED as error:
        raise ConversionError(
            f"Cannot read {path}: {_reason(error)}. Expected a file of torch.save. Copy or download it again."
        ) from error


def _with_own_methods(content: Any) -> Any:
    """Returns what a file holds, without attributes of its dicts: one called `items` would be called in its place."""
    waiting, seen = [content], set()
    while waiting:
        held = waiting.pop()
        if isinstance(held, dict) and id(held) not in seen:
            seen.add(id(held))
            # Only subclasses have any; PyTorch's own state dicts keep versions of their modules there.
            getattr(held, "__dict__", {}).clear()
            waiting += held.values()
    return content


def _check_archive(path: Path) -> None:
    """Raises ConversionError for an archive whose members would take far more memory than the file has bytes."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except _DAMAGED as error:
        raise ConversionError(f"Cannot read {path}: {_reason(error)}. Copy or download it again.") from error
    for member in members:
        most = max(_FREE_BYTES, _MOST_EXPANSION * member.compress_size)
        if member.file_size > most:
            raise ConversionError(
                f"Refused {path}: its member {member.filename[:80]!r} would take {member.file_size:,} bytes, expected "
                f"at most {most:,}."
            )


def _load_safetensors(path: Path) -> dict[str, np.ndarray]:
    package = _import_safetensors(f"Reading {path}")
    from safetensors import SafetensorError

    try:
        return dict(package.load_file(path))
    except (SafetensorError, OSError, ValueError, LookupError, AttributeError) as error:
        raise ConversionError(f"Cannot read {path}: {_reason(error)}. Copy or download it again.") from error


def _to_numpy(source: str, name: Any, value: Any) -> np.ndarray:
    """Returns a PyTorch tensor, of any device and float type, or an array as an array."""
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            declared, held = value.numel() * value.element_size(), value.untyped_storage().nbytes()
            # A view may repeat a few values without end.
            if declared > max(_FREE_BYTES, _MOST_EXPANSION * held):
                raise ConversionError(
                    f"Refused {source}: the tensor {name} declares {declared:,} bytes, and the file holds {held:,}."
                )
            value = (value.float() if value.is_floating_point() else value).numpy()
    except (RuntimeError, TypeError, AttributeError) as error:
        # A parameter may bring attributes of its own, which stand before its methods.
        raise ConversionError(
            f"{source}: the tensor {name} has no plain values: {_reason(error)}. Expected a dense tensor."
        ) from error
    array = np.asarray(value)
    # NumPy has no bfloat16 of its own.
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def _reason(error: Exception) -> str:
    """Returns the first sentence of an error, one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = ("Unsupported", "GLOBAL", "Trying to", "Can only")
    text = next((line for line in lines if any(word in line for word in telling)), lines[0] if lines else "")
    return (text.partition(". ")[0] or type(error).__name__).rstrip(".")
