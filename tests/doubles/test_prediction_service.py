"""A served model asked over sockets: the commands of its README.txt, its warm-up requests, what is refused and how."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2, prediction_service_pb2_grpc

from tests.doubles import prediction_service
from tests.doubles.served_model import ServedModel
from tests.saved_models import predict_request, read_warmup

pytestmark = pytest.mark.slow

CLASSES = ["cat", "dog", "émeu"]
# A session and an eager function run the same kernels; batches of other sizes may sum in another order.
TOLERANCE = {"rtol": 1e-5, "atol": 1e-6}
# Seconds until a test that hangs is given up, and nothing else: the machine may be busy with other things.
PATIENCE = 300
IGNORED = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def functions(export):
    """The signatures, called in this process."""
    return tf.saved_model.load(export / "2").signatures


@pytest.fixture(scope="module")
def address(export):
    with prediction_service.running(export) as address:
        yield address


@pytest.fixture(scope="module")
def stub(address):
    with grpc.insecure_channel(f"127.0.0.1:{address.port}") as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def place(tmp_path_factory, encoded):
    """A folder with photo.jpg, large enough that curl asks before it sends it, and a file that is no image."""
    folder = tmp_path_factory.mktemp("client")
    photo = np.random.default_rng(2).integers(0, 256, (900, 1000, 3), np.uint8)
    (folder / "photo.jpg").write_bytes(encoded(photo))
    (folder / "notes.txt").write_bytes(b"no image")
    assert (folder / "photo.jpg").stat().st_size * 4 / 3 > 2**20
    return folder


def readme(export, address):
    """Returns the README.txt with the server's ports put in, and nothing else changed."""
    text = (export / "2" / "README.txt").read_text()
    assert text.count("localhost:8500") == 1 and text.count("http://localhost:8501/") == 2
    text = text.replace("localhost:8500", f"127.0.0.1:{address.port}")
    return text.replace("localhost:8501", f"127.0.0.1:{address.rest_port}")


def command(text, start):
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    (line,) = [line for block in blocks for line in block.splitlines() if line.startswith(start)]
    return line


def ask(address, path, data=None):
    """Returns the status and the JSON of the answer to a GET, or to a POST of `data`."""
    request = urllib.request.Request(f"http://127.0.0.1:{address.rest_port}{path}", data)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=PATIENCE) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def post(address, body, path="/v1/models/birds:predict"):
    return ask(address, path, json.dumps(body).encode())


def run_shell(line, place):
    environment = {**os.environ, "NO_PROXY": "*", "no_proxy": "*"}
    return subprocess.run(
        ["sh", "-c", line], cwd=place, env=environment, capture_output=True, text=True, check=True, timeout=PATIENCE
    ).stdout


def compare(outputs, expected):
    """Compares name -> array, texts exactly."""
    assert outputs.keys() == expected.keys()
    for name, tensor in expected.items():
        theirs = np.asarray(tensor)
        if theirs.dtype.kind in "OSUb":
            assert outputs[name].tolist() == theirs.tolist()
        else:
            np.testing.assert_allclose(outputs[name], theirs, **TOLERANCE)
            assert outputs[name].shape == theirs.shape


def as_text(outputs):
    """Returns the outputs as JSON has them: text instead of bytes."""
    return outputs | {"label": np.array([name.decode() for name in outputs["label"].numpy()])}


def arrays(response):
    return {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}


@IGNORED
def test_answers_are_those_of_the_signatures(stub, functions, images):
    response = stub.Predict(predict_request("birds", "", {"images": images}))
    assert (response.model_spec.version.value, response.model_spec.signature_name) == (2, "serving_default")
    expected = functions["serving_default"](images=tf.constant(images))
    compare(arrays(response), expected)
    assert len(set(expected["label"].numpy())) > 1  # images whose labels agree would show little
    # As the server sends them by default: not as one block of bytes.
    assert len(response.outputs["features"].float_val) == 3 * 32


@IGNORED
def test_warm_up_requests_are_answered(stub, functions, export):
    requests = read_warmup(export / "2")
    for request in requests:
        (given,) = [tf.make_ndarray(tensor) for tensor in request.inputs.values()]
        found = arrays(stub.Predict(request))
        assert {len(array) for array in found.values()} == {len(given)}
        (name,) = request.inputs
        compare(found, functions[request.model_spec.signature_name](**{name: tf.constant(given)}))
    assert {request.model_spec.signature_name for request in requests} == set(functions)


@IGNORED
def test_curl_line_of_the_readme(address, export, functions, place):
    photo = (place / "photo.jpg").read_bytes()
    if shutil.which("curl") and shutil.which("base64"):
        answer = json.loads(run_shell(command(readme(export, address), "(printf"), place))
    else:
        instances = [{"b64": base64.b64encode(photo).decode()}]
        _, answer = post(address, {"signature_name": "from_jpeg", "instances": instances})
    (row,) = answer["predictions"]
    expected = functions["from_jpeg"](encoded=tf.constant([photo]))
    assert row.pop("label").encode() == expected["label"].numpy()[0]
    assert row.pop("valid") is True
    assert row.keys() == {"features", "logits", "probabilities"}
    for name, values in row.items():
        np.testing.assert_allclose(values, expected[name][0], **TOLERANCE)


def test_status_line_of_the_readme(address, export, place):
    if shutil.which("curl"):
        status = json.loads(run_shell(command(readme(export, address), "curl"), place))
    else:
        _, status = ask(address, "/v1/models/birds")
    available = {"version": "2", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert status == {"model_version_status": [available]}


@IGNORED
@pytest.mark.parametrize("client", ["client.py", "local.py"])
def test_programs_of_the_readme(client, address, export, functions, place):
    codes = re.findall(r"```python\n(.*?)```", readme(export, address), flags=re.DOTALL)
    (place / client).write_text(dict(zip(("client.py", "local.py"), codes, strict=True))[client], encoding="utf-8")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "encoding": "utf-8"}
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    good, bad = (
        subprocess.Popen([sys.executable, place / client, place / name], cwd=export / "2", env=environment, **pipes)
        for name in ("photo.jpg", "notes.txt")
    )
    (words, problems), (nothing, refusal) = good.communicate(timeout=PATIENCE), bad.communicate(timeout=PATIENCE)
    assert good.returncode == 0, problems
    expected = functions["from_jpeg"](encoded=tf.constant([(place / "photo.jpg").read_bytes()]))
    label, probability = words.split()
    assert label == expected["label"].numpy()[0].decode()
    assert float(probability) == pytest.approx(float(np.max(expected["probabilities"])), abs=1e-4)  # four digits
    assert bad.returncode == 1 and nothing == "" and "notes.txt is not an image" in refusal


@IGNORED
def test_rest_rows_and_columns_give_the_same(address, functions, images):
    expected = functions["serving_default"](images=tf.constant(images))
    status, rows = post(address, {"instances": images.tolist()})
    assert status == 200
    compare({name: np.array([row[name] for row in rows["predictions"]]) for name in expected}, as_text(expected))
    status, columns = post(address, {"inputs": {"images": images.tolist()}}, "/v1/models/birds/versions/2:predict")
    assert status == 200
    compare({name: np.array(values) for name, values in columns["outputs"].items()}, as_text(expected))


def test_bad_bytes_do_not_spoil_the_batch(address, place):
    photo = base64.b64encode((place / "photo.jpg").read_bytes()).decode()
    instances = [{"encoded": {"b64": "bm8gaW1hZ2U="}}, {"encoded": {"b64": photo}}]
    _, answer = post(address, {"signature_name": "from_jpeg", "instances": instances})
    bad, good = answer["predictions"]
    assert [bad["valid"], good["valid"]] == [False, True]
    assert bad["label"] == "" and not any(bad["features"]) and not any(bad["probabilities"])
    assert good["label"] in CLASSES and any(good["features"])


def test_output_filter_chooses(stub, images):
    request = predict_request("birds", "serving_default", {"images": images})
    request.output_filter.append("label")
    assert arrays(stub.Predict(request)).keys() == {"label"}


def test_metadata_has_every_signature(stub, address, functions):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "birds"
    response = stub.GetModelMetadata(request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert (response.model_spec.name, response.model_spec.version.value) == ("birds", 2)
    assert set(functions) <= set(signatures.signature_def)
    _, answer = ask(address, "/v1/models/birds/versions/2/metadata")
    found = answer["metadata"]["signature_def"]["signature_def"]["from_jpeg"]
    assert found["inputs"]["encoded"]["dtype"] == "DT_STRING" and found["outputs"]["valid"]["dtype"] == "DT_BOOL"
    for fields in ([], ["weights"]):
        request.metadata_field[:] = fields
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetModelMetadata(request)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def bad_requests():
    """Yields (request, status code, words): what predict_util.cc and server_core.cc answer."""
    pixels = np.zeros((1, 8, 8, 3), np.uint8)
    argument = grpc.StatusCode.INVALID_ARGUMENT
    for model, signature, inputs, code, words in (
        ("fish", "", {"images": pixels}, grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(fish)"),
        ("", "", {"images": pixels}, argument, "ModelSpec has no name specified."),
        ("birds", "draw", {"images": pixels}, grpc.StatusCode.FAILED_PRECONDITION, 'key "draw" not found'),
        ("birds", "", {}, argument, "Missing but required: {images}"),
        ("birds", "", {"images": pixels, "more": pixels}, argument, "Sent extra: {more}"),
        ("birds", "", {"pixels": pixels}, argument, "input tensor alias not found in signature: pixels"),
        ("birds", "", {"images": np.float32(pixels)}, argument, "to be uint8 but float32 is provided"),
        ("birds", "", {"images": pixels[0]}, argument, "shape"),
        ("birds", "float_images", {"images": np.float32(pixels)}, argument, "shape"),
    ):
        yield predict_request(model, signature, inputs), code, words
    for change, code, words in (
        (lambda spec: setattr(spec.version, "value", 1), grpc.StatusCode.NOT_FOUND, "Specific(birds, 1)"),
        (lambda spec: setattr(spec, "version_label", "stable"), argument, "servable version label: stable"),
    ):
        request = predict_request("birds", "", {"images": pixels})
        change(request.model_spec)
        yield request, code, words
    for names, words in ((["depth"], "output tensor alias not found"), (["label"] * 2, "duplicate output")):
        request = predict_request("birds", "", {"images": pixels})
        request.output_filter.extend(names)
        yield request, argument, words
    request = predict_request("birds", "", {"images": pixels})
    request.inputs["images"].tensor_shape.dim[1].size = 9
    yield request, argument, "tensor parsing error: images"


@pytest.mark.parametrize(("request_", "code", "words"), list(bad_requests()))
def test_bad_requests_have_the_servers_status_codes(stub, request_, code, words):
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(request_)
    assert caught.value.code() == code
    assert words in caught.value.details()


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/v1/models/fish:predict", b'{"instances": [1]}', 404, "Servable not found for request: Latest(fish)"),
        ("/v1/models/birds/versions/1:predict", b'{"instances": [1]}', 404, "Specific(birds, 1)"),
        ("/v1/models/birds/labels/stable:predict", b'{"instances": [1]}', 400, "version label: stable"),
        ("/v1/models/birds:predict", b"{", 400, "JSON Parse error"),
        ("/v1/models/birds:predict", b'{"instances": [1.5]}', 400, "not of expected type: uint8"),
        ("/v1/models/birds:predict", b'{"instances": [1]}', 400, "shape"),
        ("/v1/models/birds:predict", b'{"signature_name": "draw", "instances": [1]}', 400, '"draw" not found'),
        ("/v1/models/birds:draw", b"{}", 400, "Malformed request: POST /v1/models/birds:draw"),
        ("/v1/models/birds/weights", None, 400, "Malformed request: GET"),
        ("/v1/models/fish", None, 404, "Could not find any versions of model fish"),
        ("/v1/models/birds/versions/1", None, 404, "Could not find version 1 of model birds"),
    ],
)
def test_bad_requests_have_the_servers_http_status(address, path, body, status, words):
    received, answer = ask(address, path, body)
    assert received == status
    assert answer.keys() == {"error"} and words in answer["error"]


def test_a_version_may_be_chosen(export):
    model = ServedModel(export, 1)
    assert (model.name, model.version) == ("birds", 1)
    with pytest.raises(SystemExit, match=r"holds versions \[1, 2\]. Expected 3"):
        ServedModel(export, 3)


def test_a_server_that_does_not_start_says_why(tmp_path):
    with pytest.raises(RuntimeError, match=r"holds versions \[\]. Expected one"), prediction_service.running(tmp_path):
        pass
