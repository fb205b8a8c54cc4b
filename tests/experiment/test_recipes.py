"""Settings of packaged recipes by the command line: short runs of small models."""

import json

import keras
import pytest
from barlowtf_cli.main import main
from click.testing import CliRunner

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
    result = CliRunner().invoke(main, [*words, "--out", str(tmp_path / "whole.pth")])
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
