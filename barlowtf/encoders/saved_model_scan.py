"""What a SavedModel would do, read from its file before TensorFlow loads it.

A SavedModel is a program. TensorFlow runs part of it when it is loaded (initializers of resources, functions that
restore) and the rest when images are fed, and among its operations are some that read and write any file or call
Python. So each operation of its graphs must be one of those in `barlowtf.encoders.allowed_ops`.

Two kinds of functions are there in each SavedModel of TensorFlow 2:

1. Those that the object graph names, and whatever they call. TensorFlow may run them.
2. Those that save and restore variables, called by the main graph alone, which belongs to TensorFlow 1's loader and is
   never run by `tf.saved_model.load`. They alone may hold operations on files.
"""

import math
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from barlowtf.encoders.allowed_ops import ALLOWED_OPS, SAVER_OPS
from barlowtf.errors import CheckpointError
from barlowtf.printable import printable

FILE = "saved_model.pb"
# In this file TensorFlow wants the graph alone; a protocol buffer holds 2 GiB at most.
_MOST_BYTES = 2**30
# A constant that is stored as one value and a shape becomes the whole tensor in memory.
_MOST_CONSTANT_BYTES = 2**28
# So many operations, each call counted with those of the function that it calls, are an explosion, not an encoder.
_MOST_OPERATIONS = 10**7
_LONGEST_NAME = 80
# Shards have a few bytes more than the values; variables that are not saved are small.
_SPARE_BYTES = 2**26
_TRUST = "Add --trust, or trust=True, if you know who made it"


def require_harmless(path: Path) -> None:
    """Checks a SavedModel without loading it.

    Args:
        path: The folder.

    Raises:
        CheckpointError: It holds an operation, an asset or a structure that no encoder needs, or it declares more
            weights than its files hold; the message names it.
    """
    graph = _read(path)
    if not graph.HasField("object_graph_def"):
        raise _refusal(path, "it was written by TensorFlow 1, whose loader runs its main graph")
    if graph.asset_file_def or any(node.HasField("asset") for node in graph.object_graph_def.nodes):
        raise _refusal(path, "it reads asset files, which no encoder needs")
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    _check_calls(path, functions)
    runnable = _reachable(functions, graph.object_graph_def.concrete_functions, graph.graph_def.library)
    for name, function in functions.items():
        replaces = "api_implements" in function.attr
        allowed = ALLOWED_OPS if name in runnable or replaces else ALLOWED_OPS | SAVER_OPS
        _check_nodes(path, function.node_def, allowed, functions, f"function {_shown(name)}")
    _check_nodes(path, graph.graph_def.node, ALLOWED_OPS | SAVER_OPS, functions, "the main graph")
    _check_weights(path, graph.object_graph_def)


def _read(path: Path) -> Any:
    """Returns the one MetaGraphDef of a SavedModel."""
    file = path / FILE
    if not file.is_file():
        raise CheckpointError(f"Cannot read the SavedModel {path}: {FILE} is not a file.")
    size = file.stat().st_size
    if size > _MOST_BYTES:
        raise _refusal(path, f"{FILE} has {size:,} bytes, expected at most {_MOST_BYTES:,}")
    # TensorFlow has registered its messages, and has no public name for this one.
    kind = message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName("tensorflow.SavedModel"))
    try:
        model: Any = kind.FromString(file.read_bytes())
    except (DecodeError, OSError) as error:
        raise CheckpointError(f"Cannot read the SavedModel {path}: {FILE} is damaged. Copy it again.") from error
    if len(model.meta_graphs) != 1:
        raise _refusal(path, f"it holds {len(model.meta_graphs)} graphs, expected one")
    return model.meta_graphs[0]


def _reachable(functions: dict[str, Any], roots: Iterable[str], library: Any) -> set[str]:
    """Returns the names of the functions that TensorFlow may run: roots, gradients, and whatever they call."""
    waiting = [*roots, *(gradient.gradient_func for gradient in library.gradient)]
    waiting += [gradient.gradient_func for gradient in library.registered_gradients]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in functions and name not in found:
            found.add(name)
            waiting += _calls(functions[name])
    return found


def _calls(function: Any) -> Iterator[str]:
    """Yields the names of what a function calls, functions and operations."""
    for node in function.node_def:
        yield node.op
        yield from _called(node.attr.values())


def _called(values: Iterable[Any]) -> Iterator[str]:
    """Yields the functions that attributes name, and those that their own attributes name."""
    for value in values:
        for function in (*([value.func] if value.HasField("func") else ()), *value.list.func):
            yield function.name
            yield from _called(function.attr.values())


def _check_calls(path: Path, functions: dict[str, Any]) -> None:
    """Raises CheckpointError where functions call themselves, or one another so often that inlining them explodes."""
    called = {name: [each for each in _calls(function) if each in functions] for name, function in functions.items()}
    try:
        order = list(TopologicalSorter(called).static_order())
    except CycleError as error:
        raise _refusal(path, f"function {_shown(error.args[1][0])} calls itself") from error
    sizes: dict[str, int] = {}
    for name in order:
        sizes[name] = len(functions[name].node_def) + sum(sizes[each] for each in called[name])
        if sizes[name] > _MOST_OPERATIONS:
            raise _refusal(path, f"function {_shown(name)} runs more than {_MOST_OPERATIONS:,} operations")


def _check_nodes(path: Path, nodes: Iterable[Any], allowed: frozenset[str], functions: Any, where: str) -> None:
    for node in nodes:
        # A function of the model's own is called by its name, before any operation of that name; it is checked itself.
        if node.op not in allowed and node.op not in functions:
            raise _refusal(path, f"{where} runs the operation {_shown(node.op)}, which no encoder needs")
        for value in node.attr.values():
            if value.HasField("tensor"):
                size = _declared_bytes(value.tensor.tensor_shape, value.tensor.dtype)
                if size > max(_MOST_CONSTANT_BYTES, 2 * value.tensor.ByteSize()):
                    raise _refusal(path, f"{where} holds a constant of {size:,} bytes in {value.tensor.ByteSize():,}")


def _check_weights(path: Path, objects: Any) -> None:
    """Raises CheckpointError where the variables are larger than the files that hold their values."""
    variables = [node.variable for node in objects.nodes if node.HasField("variable")]
    declared = sum(_declared_bytes(variable.shape, variable.dtype) for variable in variables)
    held = sum(file.stat().st_size for file in (path / "variables").glob("variables.data-*") if file.is_file())
    if declared > held + _SPARE_BYTES:
        raise _refusal(path, f"it declares weights of {declared:,} bytes, and its files hold {held:,}")


def _declared_bytes(shape: Any, dtype: int) -> int:
    try:
        size = tf.as_dtype(dtype).size or 1
    except (TypeError, KeyError):
        size = 1
    return size * math.prod(max(dimension.size, 0) for dimension in shape.dim)


def _shown(name: str) -> str:
    """Returns a name of the file for a message: the file may hold any characters, and any number of them."""
    return printable(name, keep="")[:_LONGEST_NAME]


def _refusal(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"Refused the SavedModel {path}: {reason}. {_TRUST}.")
