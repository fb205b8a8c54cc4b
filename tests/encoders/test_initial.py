"""Weights that a run starts from: where they may lie, what is taken, and what does not fit."""

import keras
import numpy as np
import pytest

from barlowtf.config import dump_recipe, load_recipe
from barlowtf.encoders.initial import origin_settings, read_initial
from barlowtf.errors import CheckpointError, ConfigError, ConversionError
from barlowtf.models import keras_applications, make_encoder, make_projector
from barlowtf.models.fingerprint import weights_sha256
from tests.weights import randomized

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
SMALL = ["augment.size=8", "model.encoder=resnet10_w0p0625", "model.projector=[16, 16]"]


@pytest.fixture(scope="module")
def encoder():
    return randomized(make_encoder("resnet10_w0p0625", image_shape=(8, 8, 1), stem="small", dtype="float32"))


@pytest.fixture(scope="module")
def projector(encoder):
    return randomized(make_projector(encoder.output_shape[-1], (16, 16), dtype="float32"), 1)


@pytest.fixture(scope="module")
def finished(encoder, projector, tmp_path_factory):
    """What starting from a run looks at."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    folder.mkdir()
    (folder / "recipe.toml").write_text(dump_recipe(load_recipe("digits", SMALL)))
    encoder.save(folder / "encoder.keras")
    projector.save(folder / "encoder.projector.keras")
    return folder


@pytest.fixture
def read(finished, caplog):
    """Function (origin, settings...): weights and record; what the log says is in `read.log`."""
    caplog.set_level("INFO", "barlowtf")

    def call(*settings, init=finished):
        result = read_initial(load_recipe("digits", [*SMALL, f"model.init={init}", *settings]))
        call.log = [record.getMessage() for record in caplog.records]
        return result

    return call


def test_a_run_gives_encoder_and_projector(read, finished, encoder, projector):
    for init in (finished, finished / "encoder.keras"):
        weights, record = read(init=init)
        for values, model in ((weights.encoder, encoder), (weights.projector, projector)):
            for value, weight in zip(values, model.weights, strict=True):
                np.testing.assert_array_equal(value, weight.numpy())
        assert (record.spec, record.taken, record.adapted) == (str(init), ("encoder", "projector"), ())
        assert record.sha256 == weights_sha256(encoder)
        assert read.log == []


def test_a_projector_of_another_shape_is_a_new_one(read):
    weights, record = read("model.projector=[16, 12]")
    assert weights.projector is None
    assert record.taken == ("encoder",)
    (line,) = read.log
    assert "projector_3/kernel [16, 16] (expected [16, 12])" in line
    assert "train.freeze_encoder_epochs lets it learn alone first" in line


def test_a_file_without_a_projector_says_so(read, encoder, tmp_path):
    encoder.save(tmp_path / "alone.keras")
    settings = ["train.freeze_encoder_epochs=2", "augment.mean=[0.485]", "augment.std=[0.229]"]
    _, record = read(*settings, init=tmp_path / "alone.keras")
    assert record.taken == ("encoder",)
    assert read.log == [
        f"The projector starts from random weights: {tmp_path / 'alone.keras'} has no projector beside it; it learns "
        "alone first (train.freeze_encoder_epochs = 2)."
    ]


def test_other_channels_and_another_normalization_are_told(read):
    weights, record = read("data.channels=3")
    assert weights.encoder[0].shape == (3, 3, 3, 4)
    assert record.adapted == ("conv1/kernel: 1 -> 3 channels by repeat",)
    read("augment.mean=[0.5]", "model.stem=half")
    assert [line.partition(": ")[2] for line in read.log] == [
        "conv1/kernel: 1 -> 3 channels by repeat.",
        "conv1: stride (1, 1) -> (2, 2).",
        "its images were normalized by mean [0.3] and std [0.35], those of this run are by mean [0.5] and std [0.35].",
    ]


def test_another_encoder_is_told_first_and_every_shape_after_it(read, finished):
    with pytest.raises(ConfigError) as caught:
        read("model.encoder=resnet18_w0p125")
    text = str(caught.value)
    assert text.startswith(
        f"Cannot start from {finished}: it is resnet10_w0p0625, and model.encoder is resnet18_w0p125. "
        "Set model.encoder to resnet10_w0p0625. "
    )
    # Twelve convolutions with their normalizations are twice as wide, and each stage has one block more.
    assert "60 weights of another shape: conv1/kernel [3, 3, 1, 4] (expected [3, 3, 1, 8])" in text
    assert "40 weights missing: layer1_1_conv1/kernel [3, 3, 8, 8]" in text
    assert text.endswith(". Nothing was started.")
    with pytest.raises(ConfigError, match=r"both are resnet10_w0p0625, and not of one shape. Set model.stem .* conv1"):
        read("model.stem=imagenet")


def test_tensors_of_pytorch(read, encoder, tmp_path):
    pytest.importorskip("safetensors")
    from barlowtf.convert import state_dict_of, write_tensors

    colored = randomized(make_encoder("resnet10_w0p0625", image_shape=(None, None, 3), stem="half", dtype="float32"))
    projector = randomized(make_projector(32, (16, 16), dtype="float32"), 1)
    write_tensors(tmp_path / "whole.safetensors", state_dict_of(colored, projector))
    weights, record = read("model.stem=half", init=tmp_path / "whole.safetensors")
    assert record.taken == ("encoder", "projector")
    assert record.adapted == ("conv1/kernel: 3 -> 1 channels by mean",)
    np.testing.assert_array_equal(weights.projector[0], projector.weights[0].numpy())
    with pytest.raises(ConversionError, match="conv1.weight"):
        read("model.stem=imagenet", init=tmp_path / "whole.safetensors")


def test_weights_of_keras_applications(read, monkeypatch):
    colored = randomized(make_encoder("resnet10_w0p0625", image_shape=(None, None, 3), stem="small", dtype="float32"))
    normalization = keras_applications.Normalization((0.5,) * 3, (0.5,) * 3)
    monkeypatch.setattr(keras_applications, "expected_normalization", lambda name: normalization)
    monkeypatch.setattr(keras_applications, "imagenet_weights", lambda name: colored)
    weights, record = read(init="keras:Small")
    assert (record.spec, record.taken) == ("keras:Small", ("encoder",))
    assert weights.encoder[0].shape == (3, 3, 1, 4)
    assert any("mean [0.5, 0.5, 0.5] and std [0.5, 0.5, 0.5]" in line for line in read.log)
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="Invalid model.init: received keras:Other. "):
        read(init="keras:Other")


@pytest.mark.parametrize("spec", ["missing", "random", "pixels", "photo.png"])
def test_what_is_no_encoder_is_refused(read, spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.png").write_bytes(b"")
    with pytest.raises(CheckpointError, match=f"Invalid model.init: received '{spec}', expected a finished run folder"):
        read(init=spec)


def test_an_unfinished_run_and_an_export_are_refused(read, tmp_path):
    (tmp_path / "recipe.toml").write_text(dump_recipe(load_recipe("digits", SMALL)))
    with pytest.raises(CheckpointError, match=r"has no encoder.keras yet: it is not started"):
        read(init=tmp_path)
    images = keras.Input((8, 8, 1))
    x = keras.layers.Rescaling(2.0, name="normalization")(images)
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(x))
    (tmp_path / "model").mkdir()
    keras.Model(images, features).save(tmp_path / "model" / "model.keras")
    with pytest.raises(CheckpointError, match="is an export, which is for inference alone"):
        read(init=tmp_path / "model" / "model.keras")


def test_settings_that_belong_to_weights(tmp_path):
    assert origin_settings("keras:MobileNetV3Small") == {"model.encoder": "keras:MobileNetV3Small"}
    assert origin_settings(str(tmp_path / "nothing")) == {}
    assert origin_settings(str(tmp_path)) == {}
    (tmp_path / "recipe.toml").write_text(dump_recipe(load_recipe("digits", SMALL)))
    (tmp_path / "encoder.keras").touch()
    expected = {"model.encoder": "resnet10_w0p0625", "model.stem": "small", "model.projector": [16, 16]}
    expected |= {"model.projector_bias": False, "model.projector_normalization": True}
    assert origin_settings(str(tmp_path)) == origin_settings(str(tmp_path / "encoder.keras")) == expected


def test_a_recipe_without_initial_weights():
    with pytest.raises(ValueError, match=r"Invalid model\.init: received none"):
        read_initial(load_recipe("digits", SMALL))
