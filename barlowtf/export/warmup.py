"""Requests that TensorFlow Serving runs before it offers a version, so that the first of its users does not wait.

Source: TensorFlow Serving's guide "SavedModel Warmup": a TFRecord of `PredictionLog`, at most 1,000 of them, at
assets.extra/tf_serving_warmup_requests. A record that fails keeps the version from loading.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from barlowtf.export.serving import BATCH_SIZES

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
MOST_RECORDS = 1000


def predict_request(model: str, signature: str, inputs: Mapping[str, np.ndarray]) -> predict_pb2.PredictRequest:
    """Returns a request for one signature.

    Args:
        model: Name under which the server offers the model.
        signature: Name of the signature.
        inputs: Array [N, ...] of the dtype of each input; files as an object array of bytes, because NumPy's own
            arrays of bytes drop zeros at the end.
    """
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for name, array in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    return request


def warmup_requests(
    model: str, examples: Mapping[str, Mapping[str, np.ndarray]], *, batch_sizes: Iterable[int] = BATCH_SIZES
) -> list[predict_pb2.PredictRequest]:
    """Returns one request for each signature and batch size.

    Args:
        model: Name under which the server offers the model.
        examples: Signature -> input -> array [M, ...] of real content, M >= 1, as users will send it. Where M is less
            than a batch size the examples come round again.
        batch_sizes: Rows of the requests; none above max_batch_size of batching.config, or a server with batching
            refuses the request and with it the model. Default: the sizes that the server fills its batches up to.
    """
    return [
        predict_request(model, signature, {name: _rows(array, size) for name, array in inputs.items()})
        for signature, inputs in examples.items()
        for size in batch_sizes
    ]


def write_warmup(version_folder: Path, requests: Iterable[predict_pb2.PredictRequest]) -> Path:
    """Writes the warm-up file of one version; returns its path.

    Args:
        version_folder: NAME/VERSION, a SavedModel.
        requests: At least one, at most 1,000.

    Raises:
        ValueError: None, or more than the server reads: it would then not load the model. Nothing is written.
    """
    requests = list(requests)
    if not 1 <= len(requests) <= MOST_RECORDS:
        raise ValueError(f"Received {len(requests)} warm-up requests. Expected 1 to {MOST_RECORDS}.")
    path = version_folder / WARMUP_FILE
    path.parent.mkdir(exist_ok=True)
    aside = path.with_name(f".{path.name}")
    with tf.io.TFRecordWriter(str(aside)) as writer:
        for request in requests:
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())
    return aside.replace(path)


def _rows(array: np.ndarray, size: int) -> np.ndarray:
    """Returns the first rows of the array, [size, ...], from its start again where it ends."""
    return array[np.arange(size) % len(array)]
