"""Networks of keras.applications: names, layers, precision, normalization, ImageNet's weights from Keras' folder."""

import inspect
import json
import os
import socket
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.downloads import without_downloads
from barlowtf.errors import ConfigError
from barlowtf.export.plain import folded_encoder
from barlowtf.losses import bind
from barlowtf.models import BatchNormalization, make_encoder
from barlowtf.models.encoder import find_kind, open_kind
from barlowtf.models.folding import find_folds
from barlowtf.models.keras_applications import FAMILIES, expected_normalization, imagenet_weights
from barlowtf.models.memory import estimate_memory
from tests.weights import randomized

SMALLEST = [f"keras:{family.members[0]}" for family in FAMILIES.values()]
SIZE = 64


@pytest.fixture(scope="module")
def small():
    return randomized(make_encoder("keras:MobileNetV3Small", image_shape=(SIZE, SIZE, 3)))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).standard_normal((4, SIZE, SIZE, 3)).astype(np.float32)


def test_every_name_is_a_network_of_keras():
    kind = open_kind("keras:DenseNet121")
    assert len(kind.members) == len(set(kind.members)) >= 18
    for name in kind.members:
        assert callable(getattr(keras.applications, name.removeprefix("keras:"))) and open_kind(name) is kind


def test_layers_are_those_of_keras_but_the_normalizations(small):
    original = keras.applications.MobileNetV3Small(
        include_top=False, weights=None, input_shape=(SIZE, SIZE, 3), pooling="avg", include_preprocessing=False
    )
    assert small.name == "keras_MobileNetV3Small" and find_kind(small.name) is open_kind("keras:MobileNetV3Small")
    assert small.output_shape == original.output_shape == (None, 576)
    sizes = {layer.name: [weight.shape for weight in layer.weights] for layer in original.layers if layer.weights}
    assert {layer.name: [weight.shape for weight in layer.weights] for layer in small.layers if layer.weights} == sizes
    kinds = [type(layer) for layer in small.layers]
    assert keras.layers.BatchNormalization not in kinds
    assert kinds.count(BatchNormalization) == sum(
        isinstance(layer, keras.layers.BatchNormalization) for layer in original.layers
    )
    assert {layer.epsilon for layer in small.layers if isinstance(layer, BatchNormalization)} == {1e-3}


def test_mixed_precision_any_size_and_other_channels():
    mixed = make_encoder("keras:MobileNetV3Small", image_shape=(None, None, 5), dtype="mixed_bfloat16")
    features = mixed(np.zeros((2, 24, 40, 5), np.float32))
    assert features.shape == (2, 576) and features.dtype == tf.float32
    assert mixed.get_layer("conv_1").compute_dtype == "bfloat16"


def test_folded_normalizations_give_the_same_features(small, images):
    folds = find_folds(small)
    # Every normalization follows a convolution, every second one a depthwise one.
    assert len(folds) == sum(isinstance(layer, BatchNormalization) for layer in small.layers) == 34
    assert sum(name.endswith("depthwise") for name in folds.values()) == 11
    expected = small(images).numpy()
    folded = folded_encoder(small, folds, input_std=(1.0, 1.0, 1.0))
    np.testing.assert_allclose(folded(images), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_memory_of_a_step_is_estimated(small):
    projector = keras.Sequential([keras.Input((576,)), keras.layers.Dense(8)])
    parts = estimate_memory(
        small, projector, loss=bind("barlow_twins"), images=2, optimizer_slots=2, activation_bytes=4
    )
    assert parts["weights"] == 4 * (small.count_params() + 577 * 8)
    # More than the first stage alone, twice 16 channels at half the size, with its normalization and activation.
    assert parts["activations"] > 2 * 2 * 4 * 3 * 16 * (SIZE // 2) ** 2


PREPROCESSED = {
    "MobileNetV2": "mobilenet_v2",
    "ResNet50V2": "resnet_v2",
    "DenseNet201": "densenet",
}


@pytest.mark.parametrize("name", PREPROCESSED)
def test_normalization_is_that_of_the_function_beside_the_network(name):
    module = getattr(keras.applications, PREPROCESSED[name])
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 3, 3)).astype(np.float32)
    normalization = expected_normalization(f"keras:{name}")
    found = (pixels / 255.0 - np.float32(normalization.mean)) / np.float32(normalization.std)
    np.testing.assert_allclose(found, module.preprocess_input(pixels.copy()), rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV3Large", "EfficientNetV2B1", "EfficientNetV2S", "ConvNeXtTiny"])
def test_normalization_is_that_of_the_layers_in_the_network(name):
    whole = getattr(keras.applications, name)(include_top=False, weights=None)
    inner = [layer for layer in whole.layers if isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization)]
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 3, 3)).astype(np.float32)
    expected = pixels
    for layer in inner:
        expected = layer(expected)
    normalization = expected_normalization(name)
    found = (pixels / 255.0 - np.float32(normalization.mean)) / np.float32(normalization.std)
    assert inner
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALLEST)
def test_features_are_those_of_keras_own_network(name, monkeypatch):
    network = name.removeprefix("keras:")
    make = getattr(keras.applications, network)
    made = []

    def untrained(*, weights, input_shape, **options):
        assert weights == "imagenet"
        made.append(randomized(make(weights=None, input_shape=(SIZE, SIZE, 3), **options), reach=0.05))
        return made[0]

    untrained.__signature__ = inspect.signature(make)
    monkeypatch.setattr(keras.applications, network, untrained)
    encoder = imagenet_weights(name)
    images = np.random.default_rng(0).standard_normal((2, SIZE, SIZE, 3)).astype(np.float32)
    expected = made[0](images).numpy()
    # Many layers of float32 sums in another order.
    np.testing.assert_allclose(encoder(images), expected, rtol=0, atol=1e-3 * np.abs(expected).max())
    assert not encoder.name.startswith(name) and encoder.input_shape == (None, None, None, 3)


@pytest.mark.parametrize(
    ("name", "image_shape", "message"),
    [
        ("keras:VGG16", (64, 64, 3), r'received "keras:VGG16", expected one of keras:MobileNetV2, .*keras:DenseNet201'),
        pytest.param(
            "keras:DenseNet121",
            (16, 16, 3),
            r"received \(16, 16, 3\) for the encoder keras:DenseNet121, .*larger",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_wrong_arguments(name, image_shape, message):
    with pytest.raises(ValueError, match=message):
        make_encoder(name, image_shape=image_shape)


def test_weights_that_cannot_be_fetched_are_one_line(monkeypatch, capsys):
    def refuse(*arguments, **options):
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(ConfigError) as caught:
        imagenet_weights("keras:MobileNetV3Small")
    (line,) = str(caught.value).splitlines()
    file = "models/weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5"
    assert f"there is no valid {os.environ.get('KERAS_HOME', os.path.expanduser('~/.keras'))}/{file}" in line
    assert "https://" in line and "no network" in line
    assert capsys.readouterr().out == ""


def test_a_dry_run_fetches_no_weights(monkeypatch, caplog):
    def refuse(*arguments, **options):
        raise AssertionError("fetched")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with without_downloads(), caplog.at_level("INFO", logger="barlowtf"):
        assert imagenet_weights("keras:MobileNetV3Small").output_shape == (None, 576)
    assert "are not read in a dry run" in caplog.text


@pytest.mark.slow
def test_weights_in_the_folder_of_keras_are_taken(tmp_path):
    """A process with a KERAS_HOME of its own; the file is ours, so Keras' check of its digest is passed over."""
    program = """
        import json, sys
        import keras, numpy as np
        import keras.src.utils.file_utils as files
        from barlowtf.models.keras_applications import imagenet_weights
        from tests.weights import randomized

        files.validate_file = lambda *arguments, **options: True
        network = keras.applications.MobileNetV3Small(
            include_top=False, weights=None, input_shape=(224, 224, 3), include_preprocessing=True, pooling="avg"
        )
        randomized(network)
        network.save(sys.argv[1])
        images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3)).astype(np.float32)
        encoder = imagenet_weights("keras:MobileNetV3Small")
        found, expected = encoder(images / 127.5 - 1.0).numpy(), network(images, training=False).numpy()
        print(json.dumps([float(np.abs(found - expected).max()), float(np.abs(expected).max())]))
    """
    (tmp_path / "models").mkdir()
    published = tmp_path / "models" / "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(published)],
        env={**os.environ, "KERAS_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    difference, largest = json.loads(done.stdout.splitlines()[-1])
    assert difference < 1e-4 * largest
