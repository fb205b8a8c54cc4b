"""Runs a signature of a SavedModel through TensorFlow's C API, by ctypes: the loader that TensorFlow Serving uses.

Command: python -m tests.doubles.c_api SAVED_MODEL INPUTS.npz OUTPUTS.npz --signature NAME

Both files are those of benchmarks/array_files.py; plain `numpy.savez` of numbers, or of `numpy.bytes_` strings that do
not end with a zero byte, is one of them.

The process never imports the package tensorflow: `find_spec` finds the folder of the shared library without running
it, and the messages are TensorBoard's copy of TensorFlow's, because `import tensorflow.core...` runs the whole package.

Source: tensorflow/c/c_api.h of TensorFlow 2.21, TF_LoadSessionFromSavedModel and TF_SessionRun.
"""

import argparse
import ctypes
import os
import sys
import zipfile
from collections.abc import Iterable
from contextlib import ExitStack
from ctypes import c_char_p, c_void_p
from pathlib import Path
from typing import Self

import numpy as np
from tensorboard.compat.proto import meta_graph_pb2

from barlowtf.errors import BarlowTFError, ExportError
from benchmarks.array_files import load_arrays, save_arrays
from tests.doubles.c_library import Output, hold, load_library, to_array, to_tensor


class SavedModel:
    """A loaded SavedModel; closes with `with`.

    Args:
        folder: The one that holds saved_model.pb.
        tags: Of the meta graph. Default: what `tf.saved_model.save` gives.

    Attributes:
        meta_graph: The MetaGraphDef message.

    Raises:
        ExportError: TensorFlow cannot load it.
    """

    def __init__(self, folder: str | Path, *, tags: tuple[str, ...] = ("serve",)) -> None:
        """Loads; see the class."""
        self._library = library = load_library()
        with ExitStack() as held:
            self._status = hold(held, library.TF_NewStatus(), library.TF_DeleteStatus)
            self._graph = hold(held, library.TF_NewGraph(), library.TF_DeleteGraph)
            with ExitStack() as loading:
                options = hold(loading, library.TF_NewSessionOptions(), library.TF_DeleteSessionOptions)
                buffer = hold(loading, library.TF_NewBuffer(), library.TF_DeleteBuffer)
                names = (c_char_p * len(tags))(*(tag.encode() for tag in tags))
                self._session = library.TF_LoadSessionFromSavedModel(
                    options, None, os.fsencode(folder), names, len(tags), self._graph, buffer, self._status
                )
                self._check(
                    f"TensorFlow cannot load {folder}. Expected the folder of a SavedModel that holds saved_model.pb"
                )
                held.callback(self._end_session)
                content = ctypes.string_at(buffer.contents.data, buffer.contents.length)
            self.meta_graph = meta_graph_pb2.MetaGraphDef.FromString(content)
            self._held = held.pop_all()

    def __enter__(self) -> Self:
        """Returns the model."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Frees session, graph and status."""
        self._held.close()

    def run(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the outputs of a signature by name.

        Args:
            signature: One of the model's, "serving_default".
            inputs: All of the signature's, by name, of its types. Strings: an object, bytes or text array.

        Returns:
            Arrays; strings as object arrays of bytes.

        Raises:
            ExportError: No such signature; inputs missing, unknown or of another type; the run fails.
            ValueError: The model is closed.
        """
        if self._session is None:
            raise ValueError("The model is closed. Run it inside `with`.")
        definition, names = self._signature(signature), list(inputs)
        if inputs.keys() != definition.inputs.keys():
            raise ExportError(
                f"Inputs do not fit signature {signature}. Received {', '.join(sorted(inputs)) or 'none'}. "
                f"Expected {', '.join(sorted(definition.inputs)) or 'none'}."
            )
        with ExitStack() as held:
            tensors = [self._tensor(held, name, inputs[name], definition.inputs[name].dtype) for name in names]
            results = self._run(
                held,
                self._places(definition.inputs[name] for name in names),
                (c_void_p * len(tensors))(*tensors),
                self._places(definition.outputs.values()),
            )
            return {name: to_array(self._library, r) for name, r in zip(definition.outputs, results, strict=True)}

    def _run(self, held: ExitStack, inputs: ctypes.Array, tensors: ctypes.Array, outputs: ctypes.Array) -> ctypes.Array:
        """Returns pointers to the tensors of `outputs`, which are freed with `held`."""
        results = (c_void_p * len(outputs))()
        self._library.TF_SessionRun(
            self._session,
            None,  # Run options.
            inputs,
            tensors,
            len(tensors),
            outputs,
            results,
            len(outputs),
            None,  # Operations to run without taking an output: none.
            0,
            None,  # Metadata of the run.
            self._status,
        )
        for tensor in filter(None, results):
            held.callback(self._library.TF_DeleteTensor, tensor)
        self._check("TensorFlow cannot run the signature")
        return results

    def _tensor(self, held: ExitStack, name: str, array: np.ndarray, kind: int) -> int:
        try:
            return to_tensor(self._library, held, np.asarray(array), kind)
        except TypeError as error:
            raise ExportError(f"Input {name} has another type than the signature. {error}") from error

    def _signature(self, name: str) -> meta_graph_pb2.SignatureDef:
        # TensorFlow keeps its initialization among them, under a name with underscores.
        known = {key: value for key, value in self.meta_graph.signature_def.items() if not key.startswith("__")}
        if name not in known:
            raise ExportError(f"Received signature {name!r}. Expected one of the model: {', '.join(sorted(known))}.")
        return known[name]

    def _places(self, tensors: Iterable[meta_graph_pb2.TensorInfo]) -> ctypes.Array:
        """Returns an array of TF_Output for tensors that are named OPERATION:INDEX."""
        places = []
        for tensor in tensors:
            operation, _, index = tensor.name.rpartition(":")
            pointer = self._library.TF_GraphOperationByName(self._graph, operation.encode())
            if not pointer:
                raise ExportError(
                    f"The graph has no tensor {tensor.name!r}. Expected one dense tensor, OPERATION:INDEX."
                )
            places.append(Output(pointer, int(index)))
        return (Output * len(places))(*places)

    def _check(self, what: str) -> None:
        """Raises ExportError with the message of the last call if that failed."""
        code = self._library.TF_GetCode(self._status)
        if code:
            message = self._library.TF_Message(self._status).decode(errors="replace")
            raise ExportError(f"{what}. Received from TensorFlow (code {code}): {message}")

    def _end_session(self) -> None:
        self._library.TF_CloseSession(self._session, self._status)
        self._library.TF_DeleteSession(self._session, self._status)
        self._session = None


def main(arguments: list[str] | None = None) -> None:
    """Runs one signature from file to file; ends with status 1 and one line where that fails."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.doubles.c_api", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("saved_model", help="folder that holds saved_model.pb")
    parser.add_argument("inputs", help=".npz file: one array for each input")
    parser.add_argument("outputs", help=".npz file to write: one array for each output")
    parser.add_argument("--signature", default="serving_default")
    given = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        try:
            inputs = load_arrays(given.inputs)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise ExportError(f"Inputs cannot be read. Received {given.inputs}: {error}") from error
        with SavedModel(given.saved_model) as model:
            outputs = model.run(given.signature, inputs)
        try:
            save_arrays(given.outputs, outputs)
        except OSError as error:
            raise ExportError(f"Outputs cannot be written. Received {given.outputs}: {error}") from error
    except BarlowTFError as error:
        sys.exit(" ".join(str(error).split()))


if __name__ == "__main__":
    main()
