"""TensorFlow's shared library by ctypes: its C functions, and its tensors to and from NumPy.

Source: tensorflow/c/c_api.h, tf_tensor.h, tf_buffer.h, tf_tstring.h of TensorFlow 2.21.
"""

import ctypes
import functools
import importlib.util
import math
from collections.abc import Callable
from contextlib import ExitStack
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path
from typing import Any

import numpy as np

from barlowtf.errors import ExportError
from benchmarks.array_files import object_array, to_bytes

_STRING = 7
# TF_DataType -> NumPy's type.
TYPES = {
    1: np.dtype(np.float32),
    2: np.dtype(np.float64),
    3: np.dtype(np.int32),
    4: np.dtype(np.uint8),
    6: np.dtype(np.int8),
    _STRING: np.dtype(object),
    9: np.dtype(np.int64),
    10: np.dtype(np.bool_),
    19: np.dtype(np.float16),
}
_STRING_SIZE = 24  # sizeof(TF_TString): ctstring_internal.h fixes it.


class Buffer(ctypes.Structure):
    """TF_Buffer."""

    _fields_ = (("data", c_void_p), ("length", c_size_t), ("data_deallocator", c_void_p))


class Output(ctypes.Structure):
    """TF_Output: one tensor of the graph, by its operation and place."""

    _fields_ = (("oper", c_void_p), ("index", c_int))


# Function -> (type of the result, types of the arguments). Opaque pointers are void pointers.
_FUNCTIONS = {
    "TF_NewStatus": (c_void_p, []),
    "TF_DeleteStatus": (None, [c_void_p]),
    "TF_GetCode": (c_int, [c_void_p]),
    "TF_Message": (c_char_p, [c_void_p]),
    "TF_NewSessionOptions": (c_void_p, []),
    "TF_DeleteSessionOptions": (None, [c_void_p]),
    "TF_NewGraph": (c_void_p, []),
    "TF_DeleteGraph": (None, [c_void_p]),
    "TF_GraphOperationByName": (c_void_p, [c_void_p, c_char_p]),
    "TF_NewBuffer": (POINTER(Buffer), []),
    "TF_DeleteBuffer": (None, [POINTER(Buffer)]),
    "TF_LoadSessionFromSavedModel": (
        c_void_p,
        [c_void_p, c_void_p, c_char_p, POINTER(c_char_p), c_int, c_void_p, POINTER(Buffer), c_void_p],
    ),
    "TF_CloseSession": (None, [c_void_p, c_void_p]),
    "TF_DeleteSession": (None, [c_void_p, c_void_p]),
    "TF_SessionRun": (
        None,
        [c_void_p, c_void_p]
        + [POINTER(Output), POINTER(c_void_p), c_int] * 2
        + [POINTER(c_void_p), c_int, c_void_p, c_void_p],
    ),
    "TF_AllocateTensor": (c_void_p, [c_int, POINTER(c_int64), c_int, c_size_t]),
    "TF_DeleteTensor": (None, [c_void_p]),
    "TF_TensorType": (c_int, [c_void_p]),
    "TF_NumDims": (c_int, [c_void_p]),
    "TF_Dim": (c_int64, [c_void_p, c_int]),
    "TF_TensorByteSize": (c_size_t, [c_void_p]),
    "TF_TensorData": (c_void_p, [c_void_p]),
    "TF_StringInit": (None, [c_void_p]),
    "TF_StringCopy": (None, [c_void_p, c_char_p, c_size_t]),
    "TF_StringGetDataPointer": (c_void_p, [c_void_p]),
    "TF_StringGetSize": (c_size_t, [c_void_p]),
}


@functools.cache
def load_library() -> ctypes.CDLL:
    """Returns libtensorflow_cc of the installed package, its functions declared.

    Raises:
        ExportError: The package, or the library in it, is missing.
    """
    package = importlib.util.find_spec("tensorflow")
    if package is None or package.origin is None:
        raise ExportError("The package tensorflow is not installed. Install barlowtf, which brings it.")
    path = Path(package.origin).parent / "libtensorflow_cc.so.2"
    if not path.exists():
        raise ExportError(f"TensorFlow's C API is missing. Expected {path}, as in the Linux packages of TensorFlow.")
    library = ctypes.CDLL(str(path))
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def hold(stack: ExitStack, pointer: Any, free: Callable[[Any], None]) -> Any:
    """Returns the pointer, which `free` will get when the stack closes."""
    stack.callback(free, pointer)
    return pointer


def to_tensor(library: ctypes.CDLL, held: ExitStack, array: np.ndarray, kind: int) -> int:
    """Returns a pointer to a TF_Tensor that is freed with `held`.

    Args:
        library: See `load_library`.
        held: Closed after the last use of the tensor.
        array: Of the NumPy type that belongs to `kind`; for strings an object, bytes or text array.
        kind: TF_DataType.

    Raises:
        TypeError: The array is not of that type, or the type is not one of `TYPES`.
    """
    expected = TYPES.get(kind)
    if expected is None:
        raise TypeError(f"Received TensorFlow's type {kind}. Expected one of {sorted(TYPES)}.")
    strings = to_bytes(array) if kind == _STRING else None
    if strings is None and array.dtype != expected:
        raise TypeError(f"Received {array.dtype}. Expected {expected}.")
    shape = (c_int64 * array.ndim)(*array.shape)
    size = array.nbytes if strings is None else _STRING_SIZE * len(strings)
    tensor = hold(held, library.TF_AllocateTensor(kind, shape, array.ndim, size), library.TF_DeleteTensor)
    data = library.TF_TensorData(tensor)
    if strings is None:
        ctypes.memmove(data, array.tobytes(), size)
        return tensor
    # TF_DeleteTensor also frees what long strings point to.
    for i, string in enumerate(strings):
        place = data + _STRING_SIZE * i
        library.TF_StringInit(place)
        library.TF_StringCopy(place, string, len(string))
    return tensor


def to_array(library: ctypes.CDLL, tensor: int) -> np.ndarray:
    """Returns a copy of a TF_Tensor that a session made, strings as an object array of bytes.

    Raises:
        ExportError: Its type is not one of `TYPES`.
    """
    kind = library.TF_TensorType(tensor)
    if kind not in TYPES:
        raise ExportError(f"Received an output of TensorFlow's type {kind}. Expected one of {sorted(TYPES)}.")
    shape = tuple(library.TF_Dim(tensor, i) for i in range(library.TF_NumDims(tensor)))
    data = library.TF_TensorData(tensor)
    if kind != _STRING:
        content = ctypes.string_at(data, library.TF_TensorByteSize(tensor)) if data else b""
        return np.frombuffer(content, TYPES[kind]).reshape(shape).copy()
    places = [data + _STRING_SIZE * i for i in range(math.prod(shape))]
    strings = [
        ctypes.string_at(library.TF_StringGetDataPointer(place), library.TF_StringGetSize(place)) for place in places
    ]
    return object_array(strings, shape)
