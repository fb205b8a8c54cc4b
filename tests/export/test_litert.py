"""LiteRT files as ai-edge-litert runs them, and the single files of Keras and ONNX."""

import dataclasses
import json
import re
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from barlowtf.errors import ExportError
from barlowtf.export import VARIANTS, convert_litert, write_keras, write_onnx
from barlowtf.export.onnx import OnnxSettings
from tests.export.conftest import CLASS_NAMES

CLOSE = {"rtol": 1e-4, "atol": 1e-5}
# Of the largest value: float16 has 11 bits; int8 weights 8; with int8 sums errors add up over the layers.
RELATIVE = {"float32": 1e-5, "float16": 2e-3, "dynamic-int8": 0.05, "int8": 0.15}


@pytest.fixture(scope="module")
def files(parts, views):
    return convert_litert(parts, VARIANTS, views)


def run(content, views):
    """Runs all images as one batch, though the file was converted for one."""
    signature = Interpreter(model_content=content).get_signature_runner("serving_default")
    (image,) = signature.get_input_details().values()
    outputs = signature(images=views if image["dtype"] == np.uint8 else views.astype(np.float32) / 255)
    result = {}
    for name, details in signature.get_output_details().items():
        scale, zero_point = details["quantization"]
        result[name] = (outputs[name].astype(np.float32) - zero_point) * scale if scale else outputs[name].copy()
    return result, image


@pytest.mark.parametrize("variant", VARIANTS)
def test_outputs_are_those_of_the_parts(files, views, expected, variant):
    found, image = run(files[variant], views)
    assert set(found) == {"features", "logits", "probabilities"}
    for name in ("features", "logits"):
        difference = np.abs(found[name] - expected[name]).max() / np.abs(expected[name]).max()
        assert difference < RELATIVE[variant], name
    assert np.mean(found["logits"].argmax(1) == expected["logits"].argmax(1)) > 0.9
    assert image["dtype"] == (np.uint8 if variant == "int8" else np.float32)


def test_full_integer_files_take_pixels_as_they_are(parts, views, files):
    for dim in (files["int8"], convert_litert(parts, ["int8"], views // 4 + 90)["int8"]):
        _, image = run(dim, views[:1])
        scale, zero_point = image["quantization"]
        assert scale == pytest.approx(1 / 255, rel=1e-5)
        assert zero_point == 0


def test_the_code_of_the_documentation_names_a_class(files, photographs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photographs[0]).save("photo.jpg")
    (tmp_path / "class_names.txt").write_text("".join(f"{name}\n" for name in CLASS_NAMES), encoding="utf-8")
    page = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()
    (code,) = (
        block for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL) if "ai_edge_litert" in block
    )
    for variant in ("int8", "float16"):
        (tmp_path / f"{variant}.tflite").write_bytes(files[variant])
        exec(compile(code.replace("int8.tflite", f"{variant}.tflite"), "serving.md", "exec"), {})
        assert capsys.readouterr().out.strip() in CLASS_NAMES


def test_sizes_follow_the_precision(files):
    assert len(files["float16"]) < 0.65 * len(files["float32"])
    assert len(files["int8"]) < len(files["float16"])


def test_without_head(parts, views, expected):
    bare = dataclasses.replace(parts, head=None, class_names=None)
    found, _ = run(convert_litert(bare, ["float32"])["float32"], views)
    assert set(found) == {"features"}
    np.testing.assert_allclose(found["features"], expected["features"], **CLOSE)


def test_what_cannot_be_converted(parts):
    with pytest.raises(ValueError, match="Invalid variants"):
        convert_litert(parts, ["int4"])
    with pytest.raises(ExportError, match="Add --data"):
        convert_litert(parts, ["float32", "int8"])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_keras_file_gives_the_outputs_and_goes_on_training(parts, views, expected, tmp_path):
    write_keras(parts, tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    images = views.astype(np.float32) / 255
    found = model.predict(images, verbose=0)
    for name in ("features", "logits", "probabilities"):
        np.testing.assert_allclose(found[name], expected[name], **CLOSE)
    assert model.input_shape == (None, None, None, 3)
    model.compile("sgd", loss={"logits": keras.losses.SparseCategoricalCrossentropy(from_logits=True)})
    before = model.get_weights()
    model.fit(images, {"logits": np.arange(len(images)) % 3}, epochs=1, verbose=0)
    assert any(np.any(old != new) for old, new in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("with_head", [True, False])
def test_an_onnx_file_gives_the_outputs(parts, views, expected, tmp_path, with_head):
    exported = parts if with_head else dataclasses.replace(parts, head=None, class_names=None)
    write_onnx(exported, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    assert set(names) == ({"features", "logits", "probabilities"} if with_head else {"features"})
    found = session.run(names, {session.get_inputs()[0].name: views.astype(np.float32) / 255})
    for name, value in zip(names, found, strict=True):
        np.testing.assert_allclose(value, expected[name], **CLOSE)


def run_onnx(content, images):
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return session, dict(zip(names, session.run(names, {session.get_inputs()[0].name: images}), strict=True))


def test_an_onnx_file_takes_channels_first_and_a_fixed_batch(parts, views, expected, tmp_path):
    images = views.astype(np.float32).transpose(0, 3, 1, 2) / 255
    write_onnx(parts, tmp_path / "any.onnx", OnnxSettings(layout="nchw"))
    session, found = run_onnx(tmp_path / "any.onnx", images)
    assert session.get_inputs()[0].shape == ["N", 3, 24, 24]
    assert {tuple(output.shape) for output in session.get_outputs()} == {("N", 32), ("N", 3)}
    write_onnx(parts, tmp_path / "fixed.onnx", OnnxSettings(layout="nchw", batch=2))
    session, two = run_onnx(tmp_path / "fixed.onnx", images[:2])
    assert session.get_inputs()[0].shape == [2, 3, 24, 24]
    for name in ("features", "logits", "probabilities"):
        np.testing.assert_allclose(found[name], expected[name], **CLOSE)
        np.testing.assert_allclose(two[name], expected[name][:2], **CLOSE)


def test_an_onnx_file_says_what_goes_in(parts, tmp_path):
    write_onnx(parts, tmp_path / "model.onnx", facts={"encoder_sha256": "abc"})
    told = onnxruntime.InferenceSession(tmp_path / "model.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(told["class_names"]) == list(parts.class_names)
    assert (json.loads(told["mean"]), json.loads(told["std"])) == (list(parts.mean), list(parts.std))
    assert (told["layout"], told["range"], told["channels"]) == ("nhwc", "[0.0, 1.0]", "RGB")
    assert told["encoder_sha256"] == "abc"
