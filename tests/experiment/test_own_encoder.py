"""A user's own encoder, in a file outside the package: pre-trained, measured, fine-tuned and exported."""

import json

import numpy as np
import pytest
from barlowtf_cli.main import main
from click.testing import CliRunner

from barlowtf import encoders
from barlowtf.errors import ConfigError
from barlowtf.models import EncoderKind, make_encoder
from barlowtf.records import Result, read_record
from tests.examples import example

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

MY_ENCODER = example("my_encoder.py")


def call(*words):
    result = CliRunner().invoke(main, list(map(str, words)))
    assert "Traceback" not in result.output
    return result


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("mine")


@pytest.fixture(autouse=True)
def here(place, monkeypatch):
    monkeypatch.chdir(place)


@pytest.fixture(scope="module")
def run(place):
    """The run folder, one epoch on the digits; the file lies beside it."""
    (place / "my_encoder.py").write_text(MY_ENCODER)
    settings = ["model.encoder=my_encoder.py:make", "model.stem=auto", "model.projector=[32,32]", "train.epochs=1"]
    settings += ["augment.size=8", "train.batch_size=479", "optimizer.warmup_epochs=0", "checkpoint.every_steps=1"]
    settings += ["monitor.knn_every_epochs=none"]
    words = [word for setting in settings for word in ("--set", setting)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        result = call("pretrain", "--config", "digits", "--run-dir", "run", *words)
    assert result.exit_code == 0, result.output
    return place / "run"


def test_it_is_measured_and_fine_tuned(run):
    result = call("evaluate", "--protocol", "knn", "--encoder", "run", "--encoder", "random", "--encoder", "pixels")
    assert result.exit_code == 0, result.output
    results = [read_record(file, Result) for file in (run / "results").glob("knn-*.json")]
    assert {result.encoder.label for result in results} == {"trained", "random", "pixels"}
    trained, random = (next(r.encoder for r in results if r.encoder.label == label) for label in ("trained", "random"))
    # Though Keras has numbered the layers of the two differently.
    assert trained.architecture == random.architecture and trained.sha256 != random.sha256
    tuned = call("evaluate", "--protocol", "semi10", "--variant", "small", "--encoder", "run", "--set", "epochs=1")
    if tuned.exit_code == 2:
        tuned = call("evaluate", "--protocol", "semi10", "--variant", "small", "--encoder", "run", "--set", "epochs=1")
    assert tuned.exit_code == 0, tuned.output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "files"),
    [
        ("saved-model", ["."]),
        ("keras", ["model.keras"]),
        ("onnx", ["model.onnx"]),
        ("tflite", ["float32.tflite", "int8.tflite"]),
    ],
)
def test_it_is_exported_as_it_is(run, form, files):
    variants = ["--variant", "float32", "--variant", "int8", "--representative", "20"] if form == "tflite" else []
    result = call("export", "--encoder", "run", "--format", form, "--images", "32", "--json", *variants)
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert sorted(record["files"]) == files
    for figures in record["files"].values():
        assert figures["falls_short"] is None and figures["least_cosine"] > 0.95
    exact = record["files"][files[0]]
    assert exact["largest_difference"]["features"] < 1e-4 * exact["largest_value"]["features"]


def test_pytorch_has_no_names_for_its_layers(run):
    result = call("export", "--encoder", "run", "--format", "torch")
    assert result.exit_code == 1
    assert "cannot be written for PyTorch: its kind does not say how PyTorch calls its layers" in result.output
    assert not (run / "exports" / "torch").exists()


@pytest.mark.slow
def test_a_checkpoint_of_it_and_without_its_file(run, place):
    words = ["export", "--encoder", "run", "--format", "keras", "--images", "8"]
    assert call(*words, "--checkpoint", "latest", "--out", "latest").exit_code == 0
    images = np.random.default_rng(0).integers(0, 256, (2, 9, 9, 1), np.uint8)
    expected = encoders.load("run").features(images)
    (place / "my_encoder.py").rename(place / "gone.py")
    try:
        # Its layers are those of Keras: only a new one needs the file.
        np.testing.assert_array_equal(encoders.load("run").features(images), expected)
        assert call(*words, "--out", "gone").exit_code == 0
        refused = call("export", "--encoder", "run", "--format", "torch", "--out", "torch")
        assert "cannot be written for PyTorch" in refused.output
    finally:
        (place / "gone.py").rename(place / "my_encoder.py")


def test_what_is_not_an_encoder_is_refused(place):
    (place / "others.py").write_text(
        "import keras\n"
        "from barlowtf.models import EncoderKind\n"
        "NOTHING = 3\n"
        "def text(**settings): return 'model'\n"
        "def scalar(*, image_shape, dtype, seed):\n"
        "    images = keras.Input(image_shape)\n"
        "    return keras.Model(images, images)\n"
        "def sequential(*, image_shape, dtype, seed):\n"
        "    return keras.Sequential([keras.Input(image_shape), keras.layers.Flatten(), keras.layers.Dense(4)])\n"
        "KIND = EncoderKind('mine', lambda name, *, image_shape, stem, dtype, seed: sequential(\n"
        "    image_shape=image_shape, dtype=dtype, seed=seed))\n"
    )
    for name, message in (
        ("NOTHING", "which is of type int, expected a function"),
        ("text", "returned str, expected a functional"),
        ("scalar", r"maps \(None, 8, 8, 3\) to \(None, 8, 8, 3\), expected images"),
        ("missing", "does not define 'missing'"),
    ):
        with pytest.raises(ConfigError, match=message):
            make_encoder(f"others.py:{name}", image_shape=(8, 8, 3))
    with pytest.raises(ValueError, match='Invalid stem: received "small" for the encoder others.py:sequential'):
        make_encoder("others.py:sequential", image_shape=(8, 8, 3), stem="small")
    for name in ("sequential", "KIND"):
        assert make_encoder(f"others.py:{name}", image_shape=(8, 8, 3)).output_shape == (None, 4)
    assert EncoderKind("mine", make_encoder).folds is None
