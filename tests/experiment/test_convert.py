"""`barlowtf convert`: both directions, the authors' checkpoint.pth, and refusals that leave everything as it was."""

import json
import os
import pickle
import re
import resource
import shutil
import signal
import sys
import warnings
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import pytest
from barlowtf_cli.main import main
from click.testing import CliRunner

from barlowtf import experiment
from barlowtf.config import dump_recipe, load_recipe
from barlowtf.convert import named_weights, read_tensors, state_dict_of, write_tensors
from barlowtf.errors import BarlowTFError, ConversionError, Interrupted
from barlowtf.experiment import converting
from barlowtf.models import make_encoder, make_head, make_projector

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

NAME = "resnet10_w0p0625"


def randomized(model, seed=0):
    """Gives every weight a value of its own."""
    r = np.random.default_rng(seed)
    for weight in model.weights:
        low, high = (0.5, 1.5) if weight.name in ("gamma", "moving_variance") else (-0.1, 0.1)
        weight.assign(r.uniform(low, high, weight.shape))
    return model


@pytest.fixture(autouse=True)
def safetensors(monkeypatch):
    """The package, or where it is not installed a stand-in that keeps the same arrays as a pickle."""
    try:
        import safetensors.numpy  # noqa: F401
    except ImportError:
        package, parent = ModuleType("safetensors.numpy"), ModuleType("safetensors")
        parent.numpy, parent.SafetensorError = package, pickle.UnpicklingError
        package.save = lambda arrays, metadata: pickle.dumps(arrays)
        package.load_file = lambda path: pickle.loads(Path(path).read_bytes())
        monkeypatch.setitem(sys.modules, "safetensors", parent)
        monkeypatch.setitem(sys.modules, "safetensors.numpy", package)


@pytest.fixture(scope="module")
def torch():
    with warnings.catch_warnings():
        # Its import warns of its own surroundings.
        warnings.simplefilter("ignore")
        return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def encoder():
    return randomized(make_encoder(NAME, image_shape=(None, None, 3), stem="half", dtype="mixed_bfloat16"))


@pytest.fixture(scope="module")
def projector():
    return randomized(make_projector(32, (6, 5)), seed=1)


@pytest.fixture
def place(tmp_path, encoder, projector, safetensors):
    """A folder with the encoder and its projector as files of either kind, and a run."""
    encoder.save(tmp_path / "encoder.keras")
    projector.save(tmp_path / "projector.keras")
    write_tensors(tmp_path / "encoder.safetensors", state_dict_of(encoder))
    whole = {f"module.{name}": value for name, value in state_dict_of(encoder, projector).items()}
    write_tensors(tmp_path / "whole.safetensors", whole)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.toml").write_text(dump_recipe(load_recipe("digits")))
    shutil.copy(tmp_path / "encoder.keras", tmp_path / "run")
    return tmp_path


def run(*words):
    return CliRunner().invoke(main, ["convert", *map(str, words)])


def assert_same_weights(model, other):
    assert [layer.name for layer in model.layers] == [layer.name for layer in other.layers]
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two, strict=True)


def contents(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_the_whole_model_gives_encoder_and_projector(place, encoder, projector, caplog):
    result = run(place / "whole.safetensors", "--out", place / "made.keras", "--stem", "half")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        f"encoder     {place}/made.keras ({NAME}, stem half, features of width 32)",
        f"projector   {place}/made.projector.keras (6-5)",
        "passed over module.bn.running_mean, module.bn.running_var, 14 counters num_batches_tracked",
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
    assert shown["tensors"] == len(encoder.weights) + 12 and len(shown["passed_over"]) == 12
    assert 'conv1 is 3x3, taken for the stem "small"' in result.stderr


@pytest.mark.parametrize("source", ["encoder.keras", "run"])
def test_to_pytorch(place, encoder, source):
    result = run(place / source, "--out", place / "made.safetensors")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        f"weights     {place}/made.safetensors (72 tensors, {NAME}, stem half, features of width 32)",
        "recorded    no official output for these weights",
    ]
    assert "conv1 is 3x3 at stride 2 and no max pool follows" in result.stderr
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


REFUSED = [
    ("nothing.pth --out made.keras", "No such file or run: nothing.pth"),
    ("encoder.safetensors --out made.pth", "Expected --out to end in .keras."),
    ("encoder.keras --out made.keras", "Expected --out to end in .pth, .pt or .safetensors."),
    ("run --out made", "Expected --out to end in .pth, .pt or .safetensors."),
    ("encoder.safetensors --out no/made.keras", "there is no folder no. Make it, or choose another --out."),
    ("whole.safetensors --out encoder.keras", "encoder.keras is there already and is never overwritten"),
    ("encoder.keras --out encoder.safetensors", "encoder.safetensors is there already"),
    ("whole.safetensors --out taken.keras", "taken.projector.keras is there already"),
    ("encoder.safetensors --out dangling.keras", "dangling.keras is there already"),
    ("encoder.keras --stem half --out made.safetensors", "It is for files of PyTorch: leave it out."),
    ("whole.safetensors --projector projector.keras --out made.keras", "A file of PyTorch holds its own"),
    ("unfinished --out made.safetensors", "has no encoder.keras yet: it is interrupted. Resume it"),
    ("folder --out made.safetensors", "folder is no run folder: it holds no recipe.toml"),
    ("projector.keras --out made.safetensors", "Received a model without the layer conv1"),
    ("head.keras --out made.safetensors", "cannot be written for PyTorch. Received a model with the weight"),
    (
        "encoder.keras --projector encoder.keras --out made.safetensors",
        "encoder.keras with the projector encoder.keras cannot be written for PyTorch. Received an encoder of width 32",
    ),
    ("cut.keras --out made.safetensors", "Cannot read cut.keras"),
    ("cut.safetensors --out made.keras", "Cannot read cut.safetensors"),
    (
        "misfit.safetensors --out made.keras",
        "2 tensors missing: bn1.bias, projector.1.weight. 1 tensors unknown: module.backbone.more.",
    ),
]


def test_every_refusal_is_one_line_and_leaves_everything_as_it_was(place, monkeypatch):
    monkeypatch.chdir(place)
    (place / "taken.projector.keras").write_bytes(b"mine")
    (place / "dangling.keras").symlink_to("nowhere")
    (place / "unfinished").mkdir()
    (place / "unfinished" / "recipe.toml").write_text(dump_recipe(load_recipe("digits")))
    (place / "unfinished" / "run.json").write_text('{"status": "interrupted"}')
    (place / "folder").mkdir()
    make_head(3, 2).save(place / "head.keras")
    for kind in ("keras", "safetensors"):
        (place / f"cut.{kind}").write_bytes((place / f"encoder.{kind}").read_bytes()[:999])
    misfit = read_tensors("whole.safetensors")
    del misfit["module.backbone.bn1.bias"], misfit["module.projector.1.weight"]
    write_tensors("misfit.safetensors", {**misfit, "module.backbone.more": np.zeros(1)})
    before = contents(place)
    for words, message in REFUSED:
        result = run(*words.split())
        assert result.exit_code == 1, words
        (line,) = [line for line in result.stderr.splitlines() if "taken for the stem" not in line]
        assert line.startswith("Error: ") and message in line
        assert contents(place) == before, words


@pytest.mark.parametrize("file", ["made.pth", "source.pth"])
def test_without_pytorch_the_line_says_what_to_install(place, monkeypatch, file):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.chdir(place)
    (place / "source.pth").write_bytes(b"PK")
    before = contents(place)
    words = ("encoder.keras", "--out", file) if file == "made.pth" else (file, "--out", "made.keras")
    result = run(*words)
    assert result.exit_code == 1
    assert f"{file} needs PyTorch, which is not installed. Run: pip install 'barlowtf[torch]'" in result.stderr
    assert contents(place) == before


def test_a_program_in_the_file_is_named_and_does_not_run(place, torch, monkeypatch):
    monkeypatch.chdir(place)

    class Program:
        def __reduce__(self):
            return os.system, ("touch trace",)

    torch.save({"model": {"conv1.weight": torch.zeros(1), "x": Program()}}, "program.pth")
    before = contents(place)
    result = run("program.pth", "--out", "made.keras")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "GLOBAL posix.system" in result.stderr
    assert contents(place) == before


@pytest.mark.parametrize("source", ["whole.safetensors", "encoder.keras"])
def test_a_full_disk_and_a_signal_leave_nothing(place, monkeypatch, source):
    out = place / ("made.keras" if source == "whole.safetensors" else "made.safetensors")
    before = contents(place)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(ConversionError, match=rf"Cannot write {out}: .* Nothing is kept"):
            experiment.convert(place / source, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert contents(place) == before

    replace = converting.os.replace

    def stopped(*paths):
        signal.raise_signal(signal.SIGTERM)
        replace(*paths)

    monkeypatch.setattr(converting.os, "replace", stopped)
    with pytest.raises(Interrupted):
        experiment.convert(place / source, out)
    assert contents(place) == before


@pytest.mark.parametrize(("owner", "moment"), [(converting, "compare_with_recorded"), (os, "fsync")])
def test_a_file_that_appears_meanwhile_is_not_overwritten(place, monkeypatch, owner, moment):
    """Before the files are written, and while they are."""
    before = getattr(owner, moment)

    def slow(argument):
        (place / "made.projector.keras").write_bytes(b"mine")
        return before(argument)

    monkeypatch.setattr(owner, moment, slow)
    with pytest.raises(BarlowTFError, match=r"made.projector.keras is there already"):
        experiment.convert(place / "whole.safetensors", place / "made.keras")
    assert (place / "made.projector.keras").read_bytes() == b"mine"
    assert len(list(place.iterdir())) == 6


@pytest.mark.parametrize("damage", ["bn1.bias", "more"])
def test_what_does_not_read_back_is_not_kept(place, monkeypatch, damage):
    before = contents(place)
    monkeypatch.setattr(converting, "read_tensors", lambda path: {**read_tensors(path), damage: np.zeros(4)})
    with pytest.raises(ConversionError, match="did not read back as it was written"):
        experiment.convert(place / "encoder.keras", place / "made.safetensors")
    assert contents(place) == before


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
