"""Settings of packaged recipes by the command line: short runs of small models."""

import json

import keras
import numpy as np
import pytest
import tifffile
from barlowtf_cli.main import main
from click.testing import CliRunner
from PIL import Image

from barlowtf.config import load_recipe, named_recipes
from barlowtf.records import read_lines

# Keras writes .keras files with an array method that NumPy 2 warns about.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SMALL = (
    *("model.encoder=resnet10_w0p0625", "train.batch_size=400", "train.epochs=1", "optimizer.warmup_epochs=0"),
    *("monitor.knn_every_epochs=none", "monitor.collapse_every_epochs=1"),
)


def pretrain(*words, settings=()):
    """Returns the output of a run that has to end well."""
    options = [word for setting in settings for word in ("--set", setting)]
    result = CliRunner().invoke(main, ["pretrain", *map(str, words), *options])
    assert result.exit_code == 0, result.stderr
    return result


@pytest.mark.slow
def test_a_projector_with_biases_and_without_normalization(tmp_path):
    run, widths = tmp_path / "run", "model.projector=[8, 6]"
    settings = [*SMALL, widths, "model.projector_bias=true", "model.projector_normalization=false"]
    pretrain("--config", "digits", "--run-dir", run, settings=settings)
    projector = keras.models.load_model(run / "encoder.projector.keras")
    assert [weight.path for weight in projector.weights] == [
        f"projector_{number}/{part}" for number in (0, 2) for part in ("kernel", "bias")
    ]
    words = ["convert", str(run), "--projector", str(run / "encoder.projector.keras"), "--json"]
    result = CliRunner().invoke(main, [*words, "--out", str(tmp_path / "whole.safetensors")])
    assert json.loads(result.stdout)["projector"] == [8, 6]
    for number, (own, taken) in enumerate(((settings, ["encoder", "projector"]), ([*SMALL, widths], ["encoder"]))):
        pretrain("--config", "digits", "--init", run, "--run-dir", tmp_path / str(number), settings=own)
        assert json.loads((tmp_path / str(number) / "run.json").read_text())["init"]["taken"] == taken


@pytest.fixture(scope="module")
def padded_run(tmp_path_factory):
    """A run with the stem of solo-learn and residual branches that do not start at zero."""
    run = tmp_path_factory.mktemp("runs") / "padded"
    settings = (*SMALL, "model.stem=small_padded", "model.zero_residual=false", "model.projector=[8, 8]")
    pretrain("--config", "digits", "--run-dir", run, settings=settings)
    return run


@pytest.mark.slow
@pytest.mark.parametrize("name", ["saved-model", "keras", "tflite", "onnx", "torch", "hub"])
def test_exports_of_the_padded_stem(padded_run, name):
    if name == "torch":
        pytest.importorskip("torch")
    result = CliRunner().invoke(
        main, ["export", "--encoder", str(padded_run), "--format", name, "--images", "64", "--json"]
    )
    if name == "hub":
        assert result.exit_code == 1 and result.stderr.splitlines()[-1].startswith("Error: ")
        assert "timm has no other ResNets. Choose --format torch, onnx or keras." in result.stderr
        return
    # Each export is loaded in a fresh process and compared with the encoder before it gets its name.
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["files"]


# One recipe for each kind: the padded stem and LARS with a clip, a moving average, SGD as in PyTorch with a stopped
# gradient, mixed images, and the kinds of images.
KINDS = (
    *("cifar10", "cifar10-byol", "cifar10-simsiam", "cifar10-mixed-barlow-twins"),
    *("medical-gray", "multispectral"),
)
# What those of 224 to 32 pixels are scaled down to, so that two steps take seconds.
THIN = (
    *("augment.size=16", "model.encoder=resnet10_w0p0625", "train.batch_size=4", "train.epochs=1"),
    *("optimizer.warmup_epochs=0", "monitor.every_steps=1", "monitor.knn_every_epochs=none"),
)
PROJECTORS = {2: "[16, 8]", 3: "[16, 16, 8]"}


@pytest.fixture(scope="session")
def noise(tmp_path_factory):
    """Function (recipe): a folder of eight images of the kind that it is for."""
    folder, r = tmp_path_factory.mktemp("noise"), np.random.default_rng(0)
    for number in range(8):
        for kind, high, shape in (("rgb", 256, (20, 24, 3)), ("gray", 65536, (20, 24)), ("bands", 10001, (20, 24, 13))):
            (folder / kind).mkdir(exist_ok=True)
            pixels = r.integers(0, high, shape).astype(np.uint8 if kind == "rgb" else np.uint16)
            if kind == "bands":
                file = folder / kind / f"{number}.tif"
                tifffile.imwrite(file, pixels, photometric="minisblack", planarconfig="contig")
            else:
                Image.fromarray(pixels).save(folder / kind / f"{number}.png")
    return lambda recipe: folder / {"medical-gray": "gray", "multispectral": "bands"}.get(recipe, "rgb")


@pytest.mark.slow
@pytest.mark.parametrize("name", named_recipes())
def test_a_dry_run_shows_the_plan_of_the_whole_model(noise, name):
    words = ["--data", noise(name)] if name != "digits" else []
    settings = ["train.batch_size=4"]
    if load_recipe(name).loss.name == "wmse":
        # It whitens the batch, which must have more images than the embeddings have dimensions.
        settings.append("model.projector=[8, 2]")
    shown = json.loads(pretrain("--config", name, *words, "--dry-run", "--json", settings=settings).stdout)
    assert shown["plan"]["projector_parameters"] > 0 and shown["plan"]["total_steps"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_two_steps_of_a_recipe_scaled_down(noise, tmp_path, name):
    recipe = load_recipe(name)
    settings = [*THIN, f"model.projector={PROJECTORS[len(recipe.model.projector)]}"]
    if "predictor" in recipe.loss.settings:
        settings.append("loss.predictor=[8]")
    pretrain("--config", name, "--data", noise(name), "--run-dir", tmp_path / "run", settings=settings)
    totals = [line["loss"] for line in read_lines(tmp_path / "run" / "metrics.jsonl") if "loss" in line]
    assert len(totals) == 2 and np.all(np.isfinite(totals))
    channels = recipe.data.channels
    assert keras.models.load_model(tmp_path / "run" / "encoder.keras").input_shape[-1] == channels
