"""A SavedModel the way TensorFlow Serving runs it: one version in a session, asked by PredictRequest.

Loaded with the tag "serve", fed and fetched by the tensor names of its signatures. What is checked, and the status code
of what does not pass, are those of the server's predict_util.cc and server_core.cc.
"""

from pathlib import Path
from typing import Any, NoReturn

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from tests.doubles.rest_json import DEFAULT_SIGNATURE
from tests.doubles.tensor_fields import fill_tensor

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class ServingError(Exception):
    """A request that is answered with a status code instead of a response."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        """Keeps the status code."""
        super().__init__(message)
        self.code = code


class ServedModel:
    """One version of a SavedModel in a session."""

    def __init__(self, folder: Path, version: int | None = None) -> None:
        """Loads it.

        Args:
            folder: NAME/; its name is the model's.
            version: None for the highest.
        """
        folder = folder.resolve()
        versions = sorted(int(child.name) for child in folder.iterdir() if child.name.isdecimal())
        if not versions or (version is not None and version not in versions):
            raise SystemExit(f"{folder} holds versions {versions}. Expected {'one' if version is None else version}.")
        self.name = folder.name
        self.version = versions[-1] if version is None else version
        with tf.Graph().as_default():
            self._session = tf.compat.v1.Session()
            graph = tf.compat.v1.saved_model.load(self._session, ["serve"], str(folder / str(self.version)))
        self.signatures = dict(graph.signature_def)

    def require(self, spec: Any) -> None:
        """Refuses a ModelSpec that asks for another model or version."""
        if not spec.name:
            refuse(grpc.StatusCode.INVALID_ARGUMENT, "ModelSpec has no name specified.")
        if spec.WhichOneof("version_choice") == "version_label":
            refuse(grpc.StatusCode.INVALID_ARGUMENT, f"Unrecognized servable version label: {spec.version_label}")
        asked = f"Specific({spec.name}, {spec.version.value})" if spec.HasField("version") else f"Latest({spec.name})"
        if spec.name != self.name or (spec.HasField("version") and spec.version.value != self.version):
            refuse(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {asked}")

    def predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        """Returns the outputs that the request asks for.

        Raises:
            ServingError: It does not fit the model.
        """
        self.require(request.model_spec)
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            refuse(grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
        signature = self.signatures[name]
        feeds = {signature.inputs[alias].name: array for alias, array in _input_arrays(request, signature).items()}
        fetches = {alias: signature.outputs[alias].name for alias in _output_names(request, signature)}
        response = predict_pb2.PredictResponse()
        response.model_spec.name = self.name
        response.model_spec.version.value = self.version
        response.model_spec.signature_name = name
        for alias, array in self._run(fetches, feeds).items():
            dtype = tf.as_dtype(signature.outputs[alias].dtype)
            fill_tensor(response.outputs[alias], dtype, array.shape, array.ravel().tolist())
        return response

    def _run(self, fetches: dict[str, str], feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            return self._session.run(fetches, feeds)
        except tf.errors.OpError as error:
            refuse(_CODES[error.error_code], error.message)
        except ValueError as error:  # a shape that the placeholder does not take
            refuse(grpc.StatusCode.INVALID_ARGUMENT, str(error))


def _input_arrays(request: Any, signature: Any) -> dict[str, np.ndarray]:
    if len(request.inputs) != len(signature.inputs):
        extra, missing = set(request.inputs) - set(signature.inputs), set(signature.inputs) - set(request.inputs)
        refuse(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"input size does not match signature: {len(request.inputs)}!={len(signature.inputs)}. "
            f"Sent extra: {{{','.join(sorted(extra))}}}. Missing but required: {{{','.join(sorted(missing))}}}.",
        )
    arrays = {}
    for alias, tensor in request.inputs.items():
        if alias not in signature.inputs:
            refuse(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"input tensor alias not found in signature: {alias}. "
                f"Inputs expected to be in the set {{{','.join(sorted(signature.inputs))}}}.",
            )
        expected = tf.as_dtype(signature.inputs[alias].dtype)
        if tensor.dtype != expected.as_datatype_enum:
            received = tf.as_dtype(tensor.dtype).name if tensor.dtype else "no type"
            refuse(
                grpc.StatusCode.INVALID_ARGUMENT, f"Expects {alias} to be {expected.name} but {received} is provided"
            )
        try:
            arrays[alias] = tf.make_ndarray(tensor)
        except (TypeError, ValueError, OverflowError):
            refuse(grpc.StatusCode.INVALID_ARGUMENT, f"tensor parsing error: {alias}")
    return arrays


def _output_names(request: Any, signature: Any) -> list[str]:
    names = list(request.output_filter) or list(signature.outputs)
    for number, alias in enumerate(names):
        if alias not in signature.outputs:
            refuse(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {{{','.join(sorted(signature.outputs))}}}.",
            )
        if alias in names[:number]:
            refuse(grpc.StatusCode.INVALID_ARGUMENT, f"duplicate output tensor alias: {alias}")
    return names


def refuse(code: grpc.StatusCode, message: str) -> NoReturn:
    """Raises `ServingError`."""
    raise ServingError(code, message)
