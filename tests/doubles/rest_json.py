"""JSON of TensorFlow Serving's REST API to a PredictRequest, and the outputs of a PredictResponse to JSON.

Source: TensorFlow Serving's page "RESTful API", sections Predict API, JSON mapping, Encoding binary values, JSON
conformance. Where it is silent: what the server's json_tensor.cc does. Differs from it in one thing: an integer that
the input's dtype cannot hold is refused, the server wraps it.
"""

import base64
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from tests.doubles.tensor_fields import FIELDS, fill_tensor

DEFAULT_SIGNATURE = "serving_default"


class JsonError(ValueError):
    """A body that is not of the documented form; the server answers 400."""


def read_predict_request(
    body: bytes, inputs_of: Callable[[str], Mapping[str, tf.DType]]
) -> tuple[predict_pb2.PredictRequest, str]:
    """Returns the request without a model name, and the form of its answer: "predictions" or "outputs".

    Args:
        body: JSON object with "instances" (row format) or "inputs" (column format), and perhaps "signature_name".
        inputs_of: Signature -> dtype of each of its inputs; it raises `JsonError` where there is no such signature.

    Raises:
        JsonError: Anything else.
    """
    try:
        document = json.loads(body)
    except ValueError as error:
        raise JsonError(f"JSON Parse error: {error}") from error
    if not isinstance(document, dict):
        raise JsonError("JSON Value: is not object")
    signature = document.get("signature_name", "")
    if not isinstance(signature, str):
        raise JsonError("'signature_name' key must be a string value.")
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = signature
    dtypes = inputs_of(signature or DEFAULT_SIGNATURE)
    if "instances" in document and "inputs" in document:
        raise JsonError("Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist")
    if "instances" in document:
        columns, form = _columns_of_rows(document["instances"], dtypes), "predictions"
    elif "inputs" in document:
        columns, form = _columns(document["inputs"], dtypes), "outputs"
    else:
        raise JsonError("Missing 'inputs' or 'instances' key")
    for name, value in columns.items():
        shape = _shape(value)
        fill_tensor(request.inputs[name], dtypes[name], shape, _flat(value, shape, dtypes[name]))
    return request, form


def write_outputs(outputs: Mapping[str, Any], form: str) -> str:
    """Returns the answer's body.

    Args:
        outputs: Name -> TensorProto. For "predictions" of equal first dimensions, at least 1.
        form: As `read_predict_request` returned it. "predictions": a list with an object for each row; "outputs": an
            object with a list for each name. Where there is one output the objects are its values alone.

    Raises:
        JsonError: The outputs have no rows, or not equally many.
    """
    if not outputs:
        raise JsonError("Cannot convert empty tensor map to JSON")
    arrays = {name: tf.make_ndarray(tensor) for name, tensor in sorted(outputs.items())}
    columns = {name: _values(array, name) for name, array in arrays.items()}
    only = next(iter(columns)) if len(columns) == 1 else None
    if form == "outputs":
        return json.dumps({form: columns if only is None else columns[only]}, indent=4)
    counts = {array.shape[0] if array.ndim else 0 for array in arrays.values()}
    if len(counts) != 1 or counts == {0}:
        raise JsonError(f"Tensors have inconsistent batch sizes: {sorted(counts)}")
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return json.dumps({form: rows if only is None else columns[only]}, indent=4)


def _columns_of_rows(instances: Any, dtypes: Mapping[str, tf.DType]) -> dict[str, list[Any]]:
    """Returns the values of each input: one row for each instance, all of one shape."""
    if not isinstance(instances, list):
        raise JsonError("Expecting 'instances' to be a list/array")
    if not instances:
        raise JsonError("No values in 'instances' array")
    named = _is_object(instances[0])
    if not named and len(dtypes) > 1:
        raise JsonError("instances is a plain list, but expecting list of objects as multiple input tensors required")
    for number, instance in enumerate(instances):
        if _is_object(instance) != named:
            raise JsonError(f"Expecting {'object' if named else 'value/list'} at item {number} of input list")
        if named and instance.keys() != dtypes.keys():
            raise JsonError(
                f"Failed to process element: {number} of 'instances' list. JSON object: keys must be equal to: "
                f"{','.join(sorted(dtypes))}"
            )
    if named:
        return {name: [instance[name] for instance in instances] for name in dtypes}
    return {next(iter(dtypes)): instances}


def _columns(inputs: Any, dtypes: Mapping[str, tf.DType]) -> dict[str, Any]:
    """Returns the value of each input; keys that name none are passed over, as by the server."""
    if not _is_object(inputs):
        if len(dtypes) > 1:
            raise JsonError("inputs is a plain value/list, but expecting an object as multiple input tensors required")
        return {next(iter(dtypes)): inputs}
    for name in dtypes:
        if name not in inputs:
            raise JsonError(f"Missing named input: {name} in 'inputs' object.")
    return {name: inputs[name] for name in dtypes}


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def _is_object(value: Any) -> bool:
    """Whether this is an object of named tensors, not one value in base64."""
    return isinstance(value, dict) and not _is_base64(value)


def _shape(value: Any) -> list[int]:
    """Returns the sizes of nested lists, by the first element of each."""
    if not isinstance(value, list):
        return []
    return [len(value), *(_shape(value[0]) if value else [])]


def _flat(value: Any, shape: list[int], dtype: tf.DType) -> list[Any]:
    """Returns the leaves of nested lists in order, each as a value of the dtype; all lists must have the shape."""
    if not shape:
        if isinstance(value, list):
            raise JsonError("Encountered list at unexpected level")
        return [_value(value, dtype)]
    if not isinstance(value, list):
        raise JsonError(f"JSON Value: {json.dumps(value)[:80]} found at incorrect level in the JSON DOM")
    if len(value) != shape[0]:
        raise JsonError(f"Encountered list at unexpected size: {len(value)} expected size: {shape[0]}")
    return [leaf for element in value for leaf in _flat(element, shape[1:], dtype)]


def _value(value: Any, dtype: tf.DType) -> Any:
    """Returns a JSON value as one of the dtype."""
    if dtype not in FIELDS:
        raise JsonError(f"Conversion of JSON Value to type: {dtype.name} is not supported")
    if dtype == tf.string:
        if _is_base64(value):
            return _decoded(value["b64"])
        fits = isinstance(value, str)
        value = value.encode() if fits else value
    elif dtype == tf.bool:
        fits = isinstance(value, bool)
    elif isinstance(value, bool):
        fits = False
    elif dtype.is_floating:
        fits = isinstance(value, int | float)
        if fits and not _is_lossless(value, dtype):
            raise JsonError(f"Cannot convert JSON value: {value} to {dtype.name} without loss of precision.")
    else:
        fits = isinstance(value, int) and dtype.min <= value <= dtype.max
    if not fits:
        raise JsonError(f"JSON Value: {json.dumps(value)[:80]} is not of expected type: {dtype.name}")
    return value


def _is_lossless(value: int | float, dtype: tf.DType) -> bool:
    """Whether an integer is exact in a floating type, or a decimal within its range; infinities and NaN are."""
    if isinstance(value, int):
        return abs(value) < 2 ** (np.finfo(dtype.as_numpy_dtype).nmant + 1)
    return not math.isfinite(value) or abs(value) <= float(dtype.max)


def _decoded(text: str) -> bytes:
    """Returns the bytes of base64, with or without padding and white space."""
    characters = "".join(text.split()).rstrip("=")
    try:
        return base64.b64decode(characters + "=" * (-len(characters) % 4), validate=True)
    except ValueError as error:
        raise JsonError("Unable to base64 decode") from error


def _values(value: Any, name: str) -> Any:
    """Returns an array as nested lists of JSON values; strings of names that end in _bytes as {"b64": ...}."""
    if isinstance(value, np.ndarray):
        return [_values(element, name) for element in value] if value.ndim else _values(value[()], name)
    if isinstance(value, bytes):
        if name.endswith("_bytes"):
            return {"b64": base64.b64encode(value).decode()}
        return value.decode(errors="replace")
    # The shortest decimal that is this number: 0.2 and not 0.20000000298023224.
    return float(str(value)) if isinstance(value, np.floating) else value.item()
