"""Stands in for TensorFlow Serving on loopback, where its binary cannot be had: the same gRPC services and REST API.

    python -m tests.doubles.prediction_service NAME/ [--version V] [--port P] [--rest-port R]

`served_model` runs the SavedModel, `rest_front` and `rest_json` are the REST API, which asks by gRPC. What the server
does and this does not: several versions at once, batches across requests, warm-up at start, Classify and Regress.
When it listens it prints one line of JSON: model, version, port, rest_port.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from tests.doubles.rest_front import make_rest_front
from tests.doubles.served_model import ServedModel, ServingError, refuse

# Of the repository: the process imports this package from there.
_ROOT = Path(__file__).resolve().parents[2]
_ANY_SIZE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@dataclass(frozen=True)
class Address:
    """Where a server listens, and what it serves."""

    model: str
    version: int
    port: int
    rest_port: int


@contextmanager
def running(folder: Path, *, version: int | None = None) -> Iterator[Address]:
    """Runs the server in a process of its own, on free ports.

    Args:
        folder: NAME/, an export.
        version: None for the highest.

    Raises:
        RuntimeError: It does not start; the message holds the end of what it said.
    """
    command = [sys.executable, "-m", "tests.doubles.prediction_service", str(Path(folder).resolve())]
    command += [] if version is None else ["--version", str(version)]
    with tempfile.TemporaryFile("w+") as words:
        process = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=words, text=True)
        with process:
            try:
                line = process.stdout.readline()
                if not line:
                    process.wait()
                    words.seek(0)
                    raise RuntimeError(f"the server did not start:\n{words.read()[-3000:]}")
                yield Address(**json.loads(line))
            finally:
                process.terminate()


class _Predictions(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, model: ServedModel) -> None:
        self._model = model

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _status_codes(context):
            return self._model.predict(request)

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _status_codes(context):
            if not request.metadata_field:
                refuse(
                    grpc.StatusCode.INVALID_ARGUMENT, "GetModelMetadataRequest must specify at least one metadata_field"
                )
            for field in request.metadata_field:
                if field != "signature_def":
                    refuse(grpc.StatusCode.INVALID_ARGUMENT, f"Metadata field {field} is not supported")
            self._model.require(request.model_spec)
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            response.model_spec.name = self._model.name
            response.model_spec.version.value = self._model.version
            signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=self._model.signatures)
            response.metadata["signature_def"].Pack(signatures)
            return response


class _Models(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, model: ServedModel) -> None:
        self._model = model

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _status_codes(context):
            spec = request.model_spec
            if spec.HasField("version") and (spec.name, spec.version.value) != (self._model.name, self._model.version):
                refuse(grpc.StatusCode.NOT_FOUND, f"Could not find version {spec.version.value} of model {spec.name}")
            if spec.name != self._model.name:
                refuse(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {spec.name}")
            response = get_model_status_pb2.GetModelStatusResponse()
            state = get_model_status_pb2.ModelVersionStatus.AVAILABLE
            response.model_version_status.add(version=self._model.version, state=state).status.SetInParent()
            return response


@contextmanager
def _status_codes(context: grpc.ServicerContext) -> Iterator[None]:
    try:
        yield
    except ServingError as error:
        context.abort(error.code, str(error))


def main() -> None:
    parser = argparse.ArgumentParser(description="gRPC and REST server on loopback for an exported SavedModel")
    parser.add_argument("folder", type=Path, help="NAME/, which holds the numbered versions")
    parser.add_argument("--version", type=int, help="default: the highest")
    parser.add_argument("--port", type=int, default=0, help="gRPC; default: a free one")
    parser.add_argument("--rest-port", type=int, default=0, help="REST; default: a free one")
    options = parser.parse_args()
    model = ServedModel(options.folder, options.version)
    server = grpc.server(ThreadPoolExecutor(max_workers=8), options=_ANY_SIZE)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_Predictions(model), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_Models(model), server)
    port = server.add_insecure_port(f"127.0.0.1:{options.port}")
    server.start()
    rest = make_rest_front(options.rest_port, grpc.insecure_channel(f"127.0.0.1:{port}", options=_ANY_SIZE))
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    address = {"model": model.name, "version": model.version, "port": port, "rest_port": rest.server_address[1]}
    print(json.dumps(address), flush=True)
    try:
        server.wait_for_termination()
    except KeyboardInterrupt:
        server.stop(grace=1)


if __name__ == "__main__":
    main()
