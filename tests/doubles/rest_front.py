"""TensorFlow Serving's REST API in front of a gRPC server of its services: predict, status, metadata.

Source: TensorFlow Serving's page "RESTful API"; status codes as in the server's http_server.cc.
"""

import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import grpc
import tensorflow as tf
from google.protobuf.json_format import MessageToDict
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from tests.doubles.rest_json import JsonError, read_predict_request, write_outputs

_VERSION = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_PREDICT = re.compile(rf"(?i)/v1/models/(?P<name>[^/:]+){_VERSION}:predict")
_ASK = re.compile(rf"(?i)/v1/models/(?P<name>[^/:]+){_VERSION}(?P<metadata>/metadata)?")
_STATUS_CODES = {
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}


def make_rest_front(port: int, channel: grpc.Channel) -> ThreadingHTTPServer:
    """Returns an HTTP server on loopback that hands every request on.

    Args:
        port: 0 for a free one; `server_address` says which.
        channel: To PredictionService and ModelService.
    """
    handler = type("Handler", (_Handler,), {"backend": _Backend(channel)})
    return ThreadingHTTPServer(("127.0.0.1", port), handler)


class _Backend:
    """The gRPC services."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(channel)

    def predict(self, model: dict[str, str], body: bytes) -> str:
        request, form = read_predict_request(body, lambda signature: self._inputs(model, signature))
        _fill_spec(request.model_spec, model)
        return write_outputs(self.predictions.Predict(request).outputs, form)

    def status(self, model: dict[str, str]) -> str:
        request = get_model_status_pb2.GetModelStatusRequest()
        _fill_spec(request.model_spec, model)
        return json.dumps(_as_dict(self.models.GetModelStatus(request)), indent=1)

    def metadata(self, model: dict[str, str]) -> str:
        response = self._metadata(model)
        signatures = _as_dict(_signature_map(response))
        return json.dumps(
            {"model_spec": _as_dict(response.model_spec), "metadata": {"signature_def": signatures}}, indent=1
        )

    def _inputs(self, model: dict[str, str], signature: str) -> dict[str, tf.DType]:
        signatures = _signature_map(self._metadata(model)).signature_def
        if signature not in signatures:
            raise JsonError(f'Serving signature name: "{signature}" not found in signature def')
        return {name: tf.as_dtype(info.dtype) for name, info in signatures[signature].inputs.items()}

    def _metadata(self, model: dict[str, str]) -> Any:
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        _fill_spec(request.model_spec, model)
        return self.predictions.GetModelMetadata(request)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # curl waits for "100 Continue" before it sends a large body
    backend: _Backend

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(_PREDICT, lambda model: self.backend.predict(model, body))

    def do_GET(self) -> None:
        self._answer(_ASK, lambda model: (self.backend.metadata if model["metadata"] else self.backend.status)(model))

    def _answer(self, pattern: re.Pattern[str], answer: Any) -> None:
        match = pattern.fullmatch(self.path)
        try:
            if match is None:
                raise JsonError(f"Malformed request: {self.command} {self.path}")
            self._send(200, answer(match.groupdict()))
        except JsonError as error:
            self._send(400, json.dumps({"error": str(error)}))
        except grpc.RpcError as error:
            self._send(_STATUS_CODES.get(error.code(), 500), json.dumps({"error": error.details()}))

    def _send(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing: standard error is for what goes wrong."""


def _fill_spec(spec: Any, model: dict[str, str]) -> None:
    """Fills a ModelSpec from the parts of a URL."""
    spec.name = unquote(model["name"])
    if model["version"]:
        spec.version.value = int(model["version"])
    if model["label"]:
        spec.version_label = unquote(model["label"])


def _signature_map(response: Any) -> Any:
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return signatures


def _as_dict(message: Any) -> dict[str, Any]:
    return MessageToDict(message, always_print_fields_with_no_presence=True, preserving_proto_field_name=True)
