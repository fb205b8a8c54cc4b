"""Named NumPy arrays in one .npz file, strings of bytes among them, read and written without pickle.

Imports NumPy alone and keeps to what NumPy 1.26 and 2 share: it carries arrays between environments.
"""

import os
from pathlib import Path

import numpy as np

# A name ends so for the two parts of an array of strings.
_BYTES, _LENGTHS = ".bytes", ".lengths"


def save_arrays(path: str | Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes the arrays; the file appears when it is whole.

    Args:
        path: Of the .npz file, in a folder that is there.
        arrays: By name. Strings (object, bytes or text) of any shape are kept as NAME.bytes, uint8, one after the
            other, and NAME.lengths, int64, of the array's shape: NumPy's own form cuts zero bytes at a string's end.
    """
    parts = {}
    for name, array in arrays.items():
        if array.dtype.kind in "OSU":
            strings = to_bytes(array)
            parts[name + _BYTES] = np.frombuffer(b"".join(strings), np.uint8)
            parts[name + _LENGTHS] = np.array([len(string) for string in strings], np.int64).reshape(array.shape)
        else:
            parts[name] = array
    aside = Path(f"{path}.{os.getpid()}.aside")
    try:
        with aside.open("wb") as file:
            np.savez(file, **parts)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def load_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Returns the arrays of a file by name; strings as an object array of bytes.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no .npz file, or holds pickled objects.
    """
    file = np.load(path)
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise ValueError(f"{path} is one array. Expected an .npz file of named arrays.")
    with file:
        parts = dict(file)
    arrays = {}
    for name, array in parts.items():
        if name.endswith(_LENGTHS):
            name = name[: -len(_LENGTHS)]
            joined, ends = parts[name + _BYTES].tobytes(), np.cumsum(array)
            strings = [joined[end - length : end] for end, length in zip(ends, array.flat, strict=True)]
            arrays[name] = object_array(strings, array.shape)
        elif not name.endswith(_BYTES):
            arrays[name] = array
    return arrays


def object_array(strings: list[bytes], shape: tuple[int, ...]) -> np.ndarray:
    """Returns an object array of that shape, filled in row-major order."""
    array = np.empty(len(strings), object)
    array[:] = strings
    return array.reshape(shape)


def to_bytes(array: np.ndarray) -> list[bytes]:
    """Returns the strings of an object, bytes or text array in row-major order; text becomes UTF-8.

    Raises:
        TypeError: An element is neither bytes nor text.
    """
    strings = []
    for element in array.flat:
        if not isinstance(element, bytes | str):
            raise TypeError(f"Received an element of type {type(element).__name__}. Expected bytes or str.")
        strings.append(element.encode() if isinstance(element, str) else bytes(element))
    return strings
