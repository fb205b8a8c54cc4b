"""`barlowtf convert`: both directions, and the authors' checkpoint.pth."""

import json
import re
import sys

import keras
import numpy as np
import pytest
from barlowtf_cli.main import main
from click.testing import CliRunner

from barlowtf.convert import named_weights, read_tensors, state_dict_of, write_tensors
from barlowtf.models.fingerprint import weights_sha256
from tests.convert.checkpoints import at, copy, sample

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.usefixtures("safetensors"),
]

NAME = "resnet10_w0p0625"


def run(*words):
    return CliRunner().invoke(main, ["convert", *map(str, words)])


def assert_same_weights(model, other):
    assert [layer.name for layer in model.layers] == [layer.name for layer in other.layers]
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two, strict=True)


def test_the_whole_model_gives_encoder_and_projector(place, encoder, projector, caplog):
    result = run(place / "whole.safetensors", "--out", place / "made.keras", "--stem", "half")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        f"encoder     {place}/made.keras ({NAME}, stem half, features of width 32)",
        f"projector   {place}/made.projector.keras (6-5)",
        "layout      Barlow Twins, behind module.backbone.",
        "not used    module.bn.running_mean, module.bn.running_var, 14 counters num_batches_tracked",
        "images      normalized by mean and deviation of ImageNet, as the file holds none; for others add --config "
        "RECIPE with augment.mean and augment.std",
        "recorded    no official output for these weights",
    ]
    made = keras.models.load_model(place / "made.keras")
    assert_same_weights(made, encoder)
    assert made.get_layer("conv1").strides == (2, 2) and made.input_shape == (None, None, None, 3)
    assert {layer.dtype_policy.name for layer in made.layers} == {"float32"}
    assert_same_weights(keras.models.load_model(place / "made.projector.keras"), projector)
    assert len(list(place.iterdir())) == 7
    for file in ("made.keras", "made.projector.keras"):
        assert (place / file).stat().st_mode == (place / "encoder.keras").stat().st_mode


def test_an_encoder_alone_and_json(place, encoder, monkeypatch):
    monkeypatch.chdir(place)
    result = run("encoder.safetensors", "--out", "made.keras", "--json")
    shown = json.loads(result.stdout)
    assert shown["files"] == {"encoder": "made.keras"}
    assert shown["encoder"]["name"] == NAME and shown["encoder"]["stem"] == "small"
    assert shown["encoder"]["feature_width"] == 32 and re.fullmatch("[0-9a-f]{64}", shown["encoder"]["sha256"])
    assert shown["projector"] is None and shown["recorded"] is None
    assert (shown["layout"], shown["prefix"]) == ("torchvision", "")
    assert shown["tensors"] == len(encoder.weights) + 12 and len(shown["passed_over"]) == 12
    assert 'conv1 is 3x3, taken for the stem "small"' in result.stderr


def test_the_checkpoint_of_another_project(place, encoder):
    write_tensors(place / "swav.safetensors", sample("SwAV", state_dict_of(encoder), 1))
    result = run(place / "swav.safetensors", "--out", place / "made.keras", "--stem", "half")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1:3] == [
        "layout      SwAV, behind module.",
        "not used    module.projection_head.* (8 tensors), module.prototypes.weight, 13 counters num_batches_tracked",
    ]
    assert_same_weights(keras.models.load_model(place / "made.keras"), encoder)


def test_a_prefix(place, encoder):
    state = state_dict_of(encoder)
    both = at("online.net.", state) | copy("target.net.", state) | {"temperature": np.ones(1, np.float32)}
    write_tensors(place / "both.safetensors", both)
    words = (place / "both.safetensors", "--stem", "half", "--out")
    refused = run(*words, place / "made.keras")
    assert refused.exit_code == 1
    assert "2 encoders, under online.net., target.net., " in refused.stderr
    result = run(*words, place / "made.keras", "--prefix", "online.net")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1:3] == [
        "layout      by the names of a ResNet, behind online.net.",
        "not used    target.net.* (60 tensors), temperature, 24 counters num_batches_tracked",
    ]
    assert_same_weights(keras.models.load_model(place / "made.keras"), encoder)
    other = json.loads(run(*words, place / "other.keras", "--prefix", "target.net", "--json").stdout)
    assert (other["layout"], other["prefix"]) == (None, "target.net.")
    assert other["encoder"]["sha256"] != weights_sha256(encoder)


@pytest.mark.parametrize("source", ["encoder.keras", "run"])
def test_to_pytorch(place, encoder, source):
    result = run(place / source, "--out", place / "made.safetensors")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        f"weights     {place}/made.safetensors (72 tensors, {NAME}, stem half, features of width 32)",
        "images      the file holds no mean and deviation: normalize by augment.mean and augment.std of the recipe",
        "recorded    no official output for these weights",
    ]
    assert "conv1 is 3x3 at stride 2 with padding 1 and no max pool follows" in result.stderr
    written, expected = read_tensors(place / "made.safetensors"), state_dict_of(encoder)
    assert set(written) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(written[name], value, strict=True)


def test_the_whole_model_there_and_back_is_exact(place, encoder, projector):
    made, again = place / "made.safetensors", place / "again.keras"
    assert run(place / "encoder.keras", "--projector", place / "projector.keras", "--out", made).exit_code == 0
    assert run(made, "--out", again, "--stem", "half").exit_code == 0
    assert_same_weights(keras.models.load_model(again), encoder)
    assert_same_weights(keras.models.load_model(place / "again.projector.keras"), projector)


def test_pth_there_and_back_is_exact(place, torch, encoder, projector):
    made, again = place / "made.pth", place / "again.keras"
    assert run(place / "encoder.keras", "--projector", place / "projector.keras", "--out", made).exit_code == 0
    assert list(torch.load(made, weights_only=True)) == list(state_dict_of(encoder, projector))
    assert made.stat().st_mode == (place / "encoder.keras").stat().st_mode
    assert run(made, "--out", again, "--stem", "half").exit_code == 0
    assert_same_weights(keras.models.load_model(again), encoder)
    assert_same_weights(keras.models.load_model(place / "again.projector.keras"), projector)


@pytest.mark.slow
def test_the_authors_checkpoint_of_formula_weights(tmp_path, golden, formula_tensor, torch, monkeypatch):
    """Written by PyTorch under the authors' names, with the state of an optimizer and the function in its settings."""
    with np.load(golden / "resnet50.npz") as archive:
        recorded = dict(archive)
    salt = int(recorded["salt"])
    shapes = json.loads((golden / "barlow_twins_state_dict.json").read_text())
    model = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            model[f"module.{name}"] = torch.tensor(5)
        else:  # the recorded encoder stood alone when its weights were made
            value = formula_tensor(name.removeprefix("backbone."), shape, salt)
            model[f"module.{name}"] = torch.from_numpy(value)

    def exclude_bias_and_norm(p):
        return p.ndim == 1

    exclude_bias_and_norm.__module__, exclude_bias_and_norm.__qualname__ = "__main__", "exclude_bias_and_norm"
    monkeypatch.setattr(sys.modules["__main__"], "exclude_bias_and_norm", exclude_bias_and_norm, raising=False)
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([{"params": [parameter], "filter": exclude_bias_and_norm}], lr=0.1, momentum=0.9)
    parameter.sum().backward()
    optimizer.step()
    torch.save({"epoch": 1000, "model": model, "optimizer": optimizer.state_dict()}, tmp_path / "checkpoint.pth")
    monkeypatch.delattr(sys.modules["__main__"], "exclude_bias_and_norm")

    result = run(tmp_path / "checkpoint.pth", "--out", tmp_path / "encoder.keras", "--json")
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    assert shown["projector"] == [256, 256, 256] and shown["recorded"]["images"] == [2, 96, 96, 3]
    # float32 through 53 layers; measured 9e-7.
    assert shown["recorded"]["relative_difference"] < 1e-5

    encoder = keras.models.load_model(tmp_path / "encoder.keras")
    square = np.random.default_rng(salt + 100).standard_normal((2, 96, 96, 3)).astype(np.float32)
    odd = np.random.default_rng(salt + 101).standard_normal((1, 97, 75, 3)).astype(np.float32)
    for images, expected in ((square, recorded["eval"]), (odd, recorded["odd"])):
        received = np.asarray(encoder(images, training=False))
        assert np.linalg.norm(received - expected) < 1e-5 * np.linalg.norm(expected)

    projector = keras.models.load_model(tmp_path / "encoder.projector.keras")
    weights = {name.removeprefix("module."): value.numpy().astype(np.float64) for name, value in model.items()}
    features = np.random.default_rng(1).standard_normal((4, 2048)).astype(np.float32)
    x = features.astype(np.float64)
    for index in (0, 3, 6):
        x = x @ weights[f"projector.{index}.weight"].T
        if index < 6:
            norm = {part: weights[f"projector.{index + 1}.{part}"] for part in ("weight", "bias")}
            mean, variance = (weights[f"projector.{index + 1}.running_{part}"] for part in ("mean", "var"))
            x = np.maximum((x - mean) / np.sqrt(variance + 1e-5) * norm["weight"] + norm["bias"], 0)
    received = np.asarray(projector(features, training=False))
    # Sums of up to 2048 products in float32, against float64.
    assert np.linalg.norm(received - x) < 1e-5 * np.linalg.norm(x)

    text = run(tmp_path / "encoder.keras", "--out", tmp_path / "resnet50.pth").stdout
    assert re.search(r"recorded    largest difference of the features \d\.\de-0\d, \d\.\de-0[67] of the largest", text)
    assert "(official output for these weights, 2 images of 96 x 96)" in text
    back = torch.load(tmp_path / "resnet50.pth", weights_only=True)
    assert list(back) == list(json.loads((golden / "resnet50_state_dict.json").read_text()))
    for name, weight in named_weights(encoder).items():
        assert torch.equal(back[name], model[f"module.backbone.{name}"]), weight.variable.path
