"""Requests that TensorFlow Serving runs before it offers a version, so that the first of its users does not wait.

A request is written as the bytes of the server's own message, `PredictRequest`: five fields of four messages, so that
no package of the server is needed. Protocol buffers store a message, a text and bytes alike: number of the field,
length, content.

Source: TensorFlow Serving's guide "SavedModel Warmup": a TFRecord of `PredictionLog`, at most 1,000 of them, at
assets.extra/tf_serving_warmup_requests, where a record that fails keeps the version from loading; model.proto,
predict.proto and prediction_log.proto of tensorflow_serving/apis for the numbers of the fields;
protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from barlowtf.atomic import whole_file
from barlowtf.export.serving import BATCH_SIZES

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
MOST_RECORDS = 1000


def predict_request(model: str, signature: str, inputs: Mapping[str, np.ndarray]) -> bytes:
    """Returns a request for one signature, a serialized `tensorflow.serving.PredictRequest`.

    Args:
        model: Name under which the server offers the model.
        signature: Name of the signature.
        inputs: Array [N, ...] of the dtype of each input; files as an object array of bytes, because NumPy's own
            arrays of bytes drop zeros at the end.
    """
    # ModelSpec: name = 1, signature_name = 3. PredictRequest: model_spec = 1, inputs = 2, a map: key = 1, value = 2.
    request = _field(1, _field(1, model.encode()) + _field(3, signature.encode()))
    for name, array in inputs.items():
        tensor = tf.make_tensor_proto(array).SerializeToString()
        request += _field(2, _field(1, name.encode()) + _field(2, tensor))
    return request


def warmup_requests(
    model: str, examples: Mapping[str, Mapping[str, np.ndarray]], *, batch_sizes: Iterable[int] = BATCH_SIZES
) -> list[bytes]:
    """Returns one request for each signature and batch size, see `predict_request`.

    Args:
        model: Name under which the server offers the model.
        examples: Signature -> input -> array [M, ...] of real content, M >= 1, as users will send it. Where M is less
            than a batch size the examples are repeated.
        batch_sizes: Rows of the requests; none above max_batch_size of batching.config, or a server with batching
            refuses the request and with it the model. Default: the sizes that the server fills its batches up to.
    """
    sizes = tuple(batch_sizes)
    return [
        predict_request(model, signature, {name: _rows(array, size) for name, array in inputs.items()})
        for signature, inputs in examples.items()
        for size in sizes
    ]


def write_warmup(version_folder: Path, requests: Iterable[bytes]) -> Path:
    """Writes the warm-up file of one version; returns its path.

    Args:
        version_folder: NAME/VERSION, a SavedModel.
        requests: 1 to 1,000 requests, see `predict_request`.

    Raises:
        ValueError: None, or more than the server reads: it would then not load the model. Nothing is written.
    """
    requests = list(requests)
    if not 1 <= len(requests) <= MOST_RECORDS:
        raise ValueError(f"Invalid warm-up: received {len(requests)} requests, expected 1 to {MOST_RECORDS}.")
    path = version_folder / WARMUP_FILE
    path.parent.mkdir(exist_ok=True)
    with whole_file(path) as aside, tf.io.TFRecordWriter(str(aside)) as writer:
        for request in requests:
            # PredictionLog: predict_log = 6. PredictLog: request = 1.
            writer.write(_field(6, _field(1, request)))
    return path


def _field(number: int, content: bytes) -> bytes:
    """Returns a field of a protocol buffer that holds a message, a text or bytes; number < 16."""
    length, size = bytearray(), len(content)
    while size >= 128:
        length.append(size % 128 + 128)
        size //= 128
    return bytes([number << 3 | 2, *length, size]) + content


def _rows(array: np.ndarray, size: int) -> np.ndarray:
    """Returns the first rows of the array, [size, ...], from its start again where it ends."""
    return array[np.arange(size) % len(array)]
