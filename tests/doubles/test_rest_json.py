"""The JSON rules of TensorFlow Serving's REST API, by examples written by hand from its page "RESTful API"."""

import json
import math

import numpy as np
import pytest
import tensorflow as tf

from tests.doubles import rest_json

IMAGE = {"images": tf.uint8}
ENCODED = {"encoded": tf.string}
THREE = {"tag": tf.string, "signal": tf.float32, "sensor": tf.int32}


@pytest.fixture
def read():
    """Returns signature name, arrays and form of a body."""

    def read(body, dtypes):
        asked = []
        request, form = rest_json.read_predict_request(body.encode(), lambda name: asked.append(name) or dtypes)
        return asked, {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}, form, request

    return read


@pytest.fixture
def write():
    def write(arrays, form):
        return json.loads(rest_json.write_outputs({k: tf.make_tensor_proto(v) for k, v in arrays.items()}, form))

    return write


def test_rows_of_the_only_input_need_no_name(read):
    asked, arrays, form, request = read('{"instances": [[[1, 2]], [[3, 4]]]}', IMAGE)
    np.testing.assert_array_equal(arrays["images"], [[[1, 2]], [[3, 4]]])
    assert arrays["images"].dtype == np.uint8 and form == "predictions"
    # Absent: the default signature is looked up, and the server is left to take its default.
    assert asked == ["serving_default"] and request.model_spec.signature_name == ""


def test_signature_name_is_handed_on(read):
    asked, arrays, _, request = read('{"signature_name": "from_jpeg", "instances": ["foo", "bar"]}', ENCODED)
    assert asked == ["from_jpeg"] and request.model_spec.signature_name == "from_jpeg"
    assert list(arrays["encoded"]) == [b"foo", b"bar"]


def test_named_rows(read):
    body = """{"instances": [
        {"tag": "foo", "signal": [1, 2.5], "sensor": [[1, 2], [3, 4]]},
        {"tag": "bar", "signal": [3, 4], "sensor": [[4, 5], [6, 8]]}]}"""
    _, arrays, form, _ = read(body, THREE)
    assert list(arrays["tag"]) == [b"foo", b"bar"] and form == "predictions"
    np.testing.assert_array_equal(arrays["signal"], np.float32([[1, 2.5], [3, 4]]))
    np.testing.assert_array_equal(arrays["sensor"], np.int32([[[1, 2], [3, 4]], [[4, 5], [6, 8]]]))
    assert {name: array.dtype for name, array in arrays.items()} == {"tag": object, "signal": "f4", "sensor": "i4"}


def test_columns(read):
    body = '{"inputs": {"tag": ["foo"], "signal": [[1, 2], [3, 4]], "sensor": 7, "more": 1}}'
    _, arrays, form, _ = read(body, THREE)
    assert form == "outputs" and arrays.keys() == THREE.keys()
    assert arrays["signal"].shape == (2, 2) and arrays["sensor"] == 7 and arrays["sensor"].shape == ()
    _, arrays, _, _ = read('{"inputs": [[1, 2]]}', IMAGE)
    np.testing.assert_array_equal(arrays["images"], [[1, 2]])


@pytest.mark.parametrize(
    "body",
    [
        '{"instances": [{"b64": "aW1hZ2UgYnl0ZXM="}, {"b64": "_"}]}',
        '{"instances": [{"encoded": {"b64": "aW1hZ2UgYnl0ZXM="}}, {"encoded": {"b64": "_"}}]}',
        '{"inputs": [{"b64": "aW1hZ2UgYnl0ZXM="}, {"b64": "_"}]}',
        '{"inputs": {"encoded": [{"b64": "aW1hZ2UgYnl0ZXM="}, {"b64": "_"}]}}',
    ],
)
def test_bytes_are_base64(read, body):
    # "image bytes" is the page's own example; the other holds bytes that are no text.
    _, arrays, _, _ = read(body.replace("_", "/9j/ANj/"), ENCODED)
    assert list(arrays["encoded"]) == [b"image bytes", b"\xff\xd8\xff\x00\xd8\xff"]


def test_base64_without_padding_or_with_line_ends(read):
    _, arrays, _, _ = read('{"instances": [{"b64": "aW1h\\nZ2UgYnl0ZXM"}]}', ENCODED)
    assert list(arrays["encoded"]) == [b"image bytes"]


def test_numbers_that_strict_json_does_not_know(read):
    _, arrays, _, _ = read('{"inputs": [NaN, Infinity, -Infinity, 1e-3]}', {"x": tf.float32})
    np.testing.assert_array_equal(arrays["x"], np.float32([math.nan, math.inf, -math.inf, 1e-3]))
    _, arrays, _, _ = read('{"inputs": [true, false]}', {"x": tf.bool})
    assert list(arrays["x"]) == [True, False] and arrays["x"].dtype == bool


@pytest.mark.parametrize(
    ("body", "dtypes", "words"),
    [
        ("", IMAGE, "JSON Parse error"),
        ('{"instances": [1', IMAGE, "JSON Parse error"),
        ("[1]", IMAGE, "not object"),
        ('{"signature_name": 100, "instances": [1]}', IMAGE, "'signature_name' key must be a string"),
        ("{}", IMAGE, "Missing 'inputs' or 'instances' key"),
        ('{"instances": [1], "inputs": [1]}', IMAGE, "only one of"),
        ('{"instances": 1}', IMAGE, "list/array"),
        ('{"instances": []}', IMAGE, "No values"),
        ('{"instances": [1.5]}', IMAGE, "not of expected type: uint8"),
        ('{"instances": [256]}', IMAGE, "not of expected type: uint8"),
        ('{"instances": [true]}', IMAGE, "not of expected type: uint8"),
        ('{"instances": ["1"]}', {"x": tf.float32}, "not of expected type: float32"),
        ('{"instances": [1]}', ENCODED, "not of expected type: string"),
        ('{"instances": [1]}', {"x": tf.bool}, "not of expected type: bool"),
        ('{"instances": [{"x": {"b64": "AA=="}}]}', {"x": tf.float32}, "not of expected type: float32"),
        ('{"instances": [16777216]}', {"x": tf.float32}, "without loss of precision"),
        ('{"instances": [1e39]}', {"x": tf.float32}, "without loss of precision"),
        ('{"instances": [1]}', {"x": tf.complex64}, "complex64 is not supported"),
        ('{"instances": [[1, 2], [3]]}', IMAGE, "unexpected size: 1 expected size: 2"),
        ('{"instances": [[1, 2], 3]}', IMAGE, "incorrect level"),
        ('{"instances": [1, [2]]}', IMAGE, "unexpected level"),
        ('{"instances": [{"b64": "?"}]}', ENCODED, "base64 decode"),
        ('{"instances": [{"b64": 1}]}', ENCODED, "keys must be equal to: encoded"),
        ('{"instances": [{"image": "x"}]}', ENCODED, "keys must be equal to: encoded"),
        ('{"instances": [{"encoded": "x"}, "y"]}', ENCODED, "Expecting object at item 1"),
        ('{"instances": ["y", {"encoded": "x"}]}', ENCODED, "Expecting value/list at item 1"),
        ('{"instances": ["x"]}', THREE, "plain list"),
        ('{"inputs": ["x"]}', THREE, "plain value/list"),
        ('{"inputs": {"tag": "x"}}', THREE, "Missing named input: signal"),
    ],
)
def test_what_does_not_fit_is_refused(read, body, dtypes, words):
    with pytest.raises(rest_json.JsonError, match=words):
        read(body, dtypes)


def test_answer_to_rows(write):
    arrays = {"label": [b"cat", b"dog"], "features": np.float32([[0.2, 1], [3, 4]]), "valid": [True, False]}
    assert write(arrays, "predictions") == {
        "predictions": [
            {"features": [0.2, 1.0], "label": "cat", "valid": True},
            {"features": [3.0, 4.0], "label": "dog", "valid": False},
        ]
    }
    assert write({"label": [b"cat", b"dog"]}, "predictions") == {"predictions": ["cat", "dog"]}


def test_answer_to_columns(write):
    arrays = {"label": [b"cat", b"dog"], "scale": np.int64(3)}
    assert write(arrays, "outputs") == {"outputs": {"label": ["cat", "dog"], "scale": 3}}
    assert write({"scale": np.int64(3)}, "outputs") == {"outputs": 3}


def test_outputs_that_end_in_bytes_are_base64(write):
    arrays = {"image_bytes": [b"image bytes"], "caption": ["Möwe".encode()]}
    assert write(arrays, "predictions") == {
        "predictions": [{"caption": "Möwe", "image_bytes": {"b64": "aW1hZ2UgYnl0ZXM="}}]
    }


def test_numbers_come_back_as_they_are(write):
    r = np.random.default_rng(0)
    numbers = np.float32(r.standard_normal(100) * 10.0 ** r.integers(-30, 30, 100))
    back = write({"x": numbers}, "outputs")["outputs"]
    np.testing.assert_array_equal(np.float32(back), numbers)
    special = write({"x": np.float32([math.nan, math.inf, -math.inf])}, "outputs")["outputs"]
    np.testing.assert_array_equal(special, [math.nan, math.inf, -math.inf])


@pytest.mark.parametrize(
    "arrays", [{}, {"a": np.zeros((2, 1)), "b": np.zeros(1)}, {"a": np.zeros((0, 2))}, {"a": np.float32(1)}]
)
def test_answers_without_rows_are_refused(write, arrays):
    with pytest.raises(rest_json.JsonError, match="batch sizes|empty tensor map"):
        write(arrays, "predictions")
