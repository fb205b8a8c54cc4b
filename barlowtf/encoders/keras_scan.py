"""What a `.keras` file would do and take, read before Keras loads it.

The file is a zip archive of a configuration, which names classes, and of weights in HDF5. Looked at here:

1. The archive: the three members that Keras writes and no other, none larger than it can honestly be.
2. The configuration: its size and depth, and each class that it names: Keras' own or registered in this process, and
   none of those that carry code or read files.
3. The weights: no links out of the file, no dataset that declares more values than the file can hold, and none that
   takes more memory than its values while it is read, see `barlowtf.encoders.chunk_scan`.

While Keras builds the model from the configuration, `weight_limit` keeps its variables to what the file holds.
"""

import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import h5py
import keras
import tensorflow as tf

from barlowtf.encoders.chunk_scan import find_chunk_fault
from barlowtf.errors import CheckpointError
from barlowtf.printable import printable

_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
# Of the networks that Keras comes with, the largest configuration has less than 2 MB, and no object is 40 deep.
_MOST_BYTES = {_CONFIG: 2**24, _METADATA: 2**20}
_MOST_DEPTH = 100
# Keras stores weights as they are. Where somebody has compressed them again, they do not shrink much.
_MOST_EXPANSION, _FREE_BYTES = 20, 2**20
# Variables that are not in the file, like the states of random numbers, are small.
_SPARE_BYTES = 2**26
# Layers that hold code, load other models or read files by names in their configuration.
_REFUSED = {
    "Lambda": "runs Python code",
    "__lambda__": "is Python code",
    "__typespec__": "is no part of an encoder",
    "TFSMLayer": "loads a SavedModel",
    "TorchModuleWrapper": "loads a pickle",
    "JaxLayer": "runs code",
    "FlaxLayer": "runs code",
    "StringLookup": "may read files",
    "IntegerLookup": "may read files",
    "TextVectorization": "may read files",
}
_VALUES = ("__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__")
_MODULES = (
    *("keras", "keras.layers", "keras.models", "keras.initializers", "keras.regularizers", "keras.constraints"),
    *("keras.activations", "keras.dtype_policies", "keras.random", "keras.quantizers"),
)
_INNER_MODULES = ("keras.src.ops.", "keras.src.models.", "keras.src.activations.", "keras.src.applications.")
_OF_KERAS = ("Model", "Sequential", "Functional", "KerasTensor", "Variable", "Quantizer")


def require_harmless_file(path: Path) -> int:
    """Checks a `.keras` file without loading it.

    Args:
        path: The file.

    Returns:
        The bytes of the weights that it holds.

    Raises:
        CheckpointError: It holds what no encoder needs; the message names it.
        OSError, zipfile.BadZipFile, ValueError: It cannot be read.
    """
    if not path.is_file():
        raise CheckpointError(f"Cannot read {path}: it is not a file.")
    with zipfile.ZipFile(path) as archive:
        _check_members(path, archive)
        _check_config(path, archive)
        return _check_weights(path, archive)


@contextmanager
def weight_limit(path: Path, held: int) -> Iterator[None]:
    """Refuses variables, before their memory is taken, that are much larger in all than what the file holds.

    Args:
        path: The file, for the message.
        held: Bytes of the weights that it holds.

    Raises:
        CheckpointError: They are larger.
    """
    graph, declared = tf.Graph(), 0

    def create(next_creator: Any, **options: Any) -> Any:
        nonlocal declared
        value = options["initial_value"]
        if callable(value):
            # In a graph, a value has a shape and takes no memory.
            with graph.as_default():
                symbol = tf.convert_to_tensor(value())
        else:
            symbol = tf.convert_to_tensor(value)
        declared += symbol.dtype.size * (symbol.shape.num_elements() or 0)
        if declared > 2 * held + _SPARE_BYTES:
            raise _refusal(path, f"it declares weights of more than {declared:,} bytes, and holds {held:,}")
        return next_creator(**options)

    with tf.variable_creator_scope(create):
        yield


def _check_members(path: Path, archive: zipfile.ZipFile) -> None:
    expected, found = (_CONFIG, _METADATA, _WEIGHTS), [member.filename for member in archive.infolist()]
    for member in archive.infolist():
        name = member.filename
        if name not in expected or found.count(name) > 1:
            raise _refusal(path, f"its member {name[:80]!r} is not one of {', '.join(expected)}")
        most = _MOST_BYTES.get(name, max(_FREE_BYTES, _MOST_EXPANSION * member.compress_size))
        if member.file_size > most:
            raise _refusal(path, f"its member {name} would take {member.file_size:,} bytes, expected at most {most:,}")
    missing = [name for name in (_CONFIG, _WEIGHTS) if name not in found]
    if missing:
        raise CheckpointError(f"Cannot read {path}: it holds no {missing[0]}.")


def _check_config(path: Path, archive: zipfile.ZipFile) -> None:
    try:
        config = json.loads(archive.read(_CONFIG))
    except RecursionError as error:
        raise _refusal(path, f"{_CONFIG} is nested too deeply") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"Cannot read {path}: {_CONFIG} is not an object.")
    # It is not read: the model is not compiled.
    waiting: list[tuple[Any, int]] = [({key: config[key] for key in config if key != "compile_config"}, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > _MOST_DEPTH:
            raise _refusal(path, f"{_CONFIG} is nested more than {_MOST_DEPTH} deep")
        if isinstance(value, dict):
            if "class_name" in value:
                _check_class(path, value)
            waiting += [(part, depth + 1) for part in value.values()]
        elif isinstance(value, list):
            waiting += [(part, depth + 1) for part in value]


def _check_class(path: Path, value: dict[str, Any]) -> None:
    """Raises CheckpointError where a configuration names a class or function that it must not name."""
    name, module, settings = value["class_name"], value.get("module"), value.get("config")
    if not isinstance(name, str) or not isinstance(module, str | None):
        raise CheckpointError(f"Cannot read {path}: {_CONFIG} names a class that is not text.")
    called = settings.get("name") if isinstance(settings, dict) else None
    where = f" {called[:80]!r}" if isinstance(called, str) else ""
    if name in _REFUSED:
        raise _refusal(path, f"its layer {name}{where} {_REFUSED[name]}")
    if name in _VALUES:
        return
    if name == "function":
        registered = name = settings if isinstance(settings, str) else ""
    else:
        registered = value.get("registered_name") or name
    if isinstance(registered, str) and keras.saving.get_registered_object(registered) is not None:
        return
    if module is None or (module == "builtins" and value["class_name"] == "function"):
        known = name.isidentifier()
    elif module == "keras":
        known = name in _OF_KERAS or name.endswith("DTypePolicy") or name == "DTypePolicyMap"
    else:
        known = name.isidentifier() and (module in _MODULES or module.startswith(_INNER_MODULES))
    if not known:
        raise _refusal(
            path,
            f"its class {name[:80]!r}{where} of the module {str(module)[:80]!r} is neither one of Keras nor registered "
            "in this process: import the code that registers it first",
        )


def _check_weights(path: Path, archive: zipfile.ZipFile) -> int:
    member = archive.getinfo(_WEIGHTS)
    with archive.open(member) as stream, h5py.File(_seekable(stream, member), "r") as weights:
        total = sum(_dataset_bytes(path, dataset) for dataset in _datasets(path, weights))
    most = max(_FREE_BYTES, _MOST_EXPANSION * member.compress_size)
    if total > most:
        raise _refusal(path, f"{_WEIGHTS} declares {total:,} bytes, expected at most {most:,}")
    return total


def _seekable(stream: IO[bytes], member: zipfile.ZipInfo) -> IO[bytes]:
    """Returns a member that can be read at any place; one that is compressed is read whole, once."""
    if member.compress_type == zipfile.ZIP_STORED:
        return stream
    return io.BytesIO(stream.read())


def _datasets(path: Path, weights: h5py.File) -> Iterator[h5py.Dataset]:
    """Yields the datasets of a file, each once; raises CheckpointError for a link to anything else."""
    waiting: list[h5py.Group] = [weights]
    seen: set[int] = set()
    while waiting:
        group = waiting.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise _refusal(path, f"{_WEIGHTS} holds a link, {name[:80]!r}")
            inner = group[name]
            address = h5py.h5o.get_info(inner.id).addr
            if address not in seen:
                seen.add(address)
                if isinstance(inner, h5py.Group):
                    waiting.append(inner)
                elif isinstance(inner, h5py.Dataset):
                    yield inner


def _dataset_bytes(path: Path, dataset: h5py.Dataset) -> int:
    """Returns the bytes that a dataset declares, or raises CheckpointError where the file does not hold them."""
    name = printable(dataset.name, keep="")[:80]
    if dataset.external or dataset.is_virtual:
        raise _refusal(path, f"the values of {name} lie in another file")
    declared, held = dataset.size * dataset.dtype.itemsize, dataset.id.get_storage_size()
    if declared > max(_FREE_BYTES, _MOST_EXPANSION * held):
        raise _refusal(path, f"{name} declares {declared:,} bytes, and the file holds {held:,} of them")
    fault = find_chunk_fault(dataset)
    if fault is not None:
        raise _refusal(path, f"{name} {fault}")
    return int(declared)


def _refusal(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"Refused {path}: {reason}.")
