"""A preset of KerasHub: its files by its rules, and the features that its network makes of them."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest

from barlowtf.errors import ExportError
from barlowtf.export import FORMATS, Parts
from barlowtf.export.format import Material, Replayed
from barlowtf.export.keras_hub import backbone_arguments
from barlowtf.export.verification import replay_file, source_outputs
from barlowtf.models import make_encoder, make_head
from tests.weights import randomized

# Keras writes weights with an array method that NumPy 2 warns about.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
WITH_KERAS_HUB = pytest.mark.skipif(
    find_spec("keras_hub") is None, reason="KerasHub is not installed (extra keras-hub)"
)
PAGE = Path(__file__).parents[2] / "docs" / "detection.md"
FORM = FORMATS["keras-hub"]
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
SIZE = 65


def parts_of(name, *, stem="imagenet", channels=3):
    shape = (SIZE, SIZE, channels)
    # Small kernels keep features in range through fifty layers.
    encoder = randomized(make_encoder(name, image_shape=shape, stem=stem, dtype="float32"), reach=0.05)
    return Parts(encoder, None, None, SIZE, MEAN[:channels], STD[:channels], None)


def material_of(parts):
    return Material(parts, "birds", [], (), lambda: None)


def written(parts, folder):
    """Returns config.json and image_converter.json of a preset."""
    FORM.check(material_of(parts))
    assert FORM.write(material_of(parts), folder) == {".": "float32"}
    return [json.loads((folder / name).read_text()) for name in ("config.json", "image_converter.json")]


def views_of(photographs):
    crops = np.concatenate([photographs[:4], photographs[4:8]], axis=2)
    return np.ascontiguousarray(np.pad(crops, ((0, 0), (0, SIZE - 50), (0, 0), (0, 0)), "reflect")[:, :, :SIZE])


def rebuilt(config):
    """KerasHub's ResNetBackbone by its description, in Keras alone.

    Source: KerasHub 0.32, models/resnet/resnet_backbone.py.
    """
    layers = keras.layers

    def convolution(x, filters, size, stride):
        if stride > 1 and size > 1:
            x = layers.ZeroPadding2D((size - 1) // 2)(x)
        x = layers.Conv2D(filters, size, stride, "valid" if stride > 1 else "same", use_bias=False)(x)
        return layers.BatchNormalization(epsilon=1e-5, momentum=0.9)(x)

    images = keras.Input(config["image_shape"])
    x = layers.ReLU()(convolution(images, *config["input_conv_filters"], *config["input_conv_kernel_sizes"], 2))
    x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))
    bottleneck = config["block_type"] == "bottleneck_block"
    stages = zip(*(config[f"stackwise_num_{of}"] for of in ("filters", "blocks", "strides")), strict=True)
    for stage, (filters, blocks, first_stride) in enumerate(stages):
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            wide, shortcut = 4 * filters if bottleneck else filters, x
            if block == 0 and (bottleneck or stage > 0):
                shortcut = convolution(x, wide, 1, stride)
            if bottleneck:
                x = layers.ReLU()(convolution(x, filters, 1, 1))
            x = layers.ReLU()(convolution(x, filters, 3, stride))
            x = convolution(x, wide, 1 if bottleneck else 3, 1)
            x = layers.ReLU()(layers.Add()([shortcut, x]))
    return keras.Model(images, x)


@pytest.mark.parametrize("name", ["resnet10", "resnet50"])
def test_a_preset_gives_the_features_of_its_encoder(name, photographs, tmp_path):
    parts = parts_of(name)
    config, converter = written(parts, tmp_path)
    backbone = rebuilt(config["config"])
    backbone.load_weights(tmp_path / "model.weights.h5")
    views = views_of(photographs)
    scale, offset = (np.float32(converter["config"][key]) for key in ("scale", "offset"))
    maps = backbone.predict_on_batch(views.astype(np.float32) * scale + offset)
    features = source_outputs(parts, views)["features"]
    # What tells images apart is far above the tolerance.
    assert np.ptp(features, axis=0).max() > 1e-3 * np.abs(features).max()
    assert np.abs(maps.mean(axis=(1, 2)) - features).max() < 1e-5 * np.abs(features).max()


def test_what_the_folder_says(tmp_path):
    config, converter = written(parts_of("resnet18", channels=1), tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {
        "config.json",
        "image_converter.json",
        "metadata.json",
        "model.weights.h5",
    }
    assert config["registered_name"] == "keras_hub>ResNetBackbone"
    assert config["config"]["name"] == "resnet18"
    assert config["config"]["image_shape"] == [None, None, 1]
    assert config["config"]["stackwise_num_blocks"] == [2, 2, 2, 2]
    assert converter["registered_name"] == "keras_hub>ResNetImageConverter"
    assert converter["config"]["image_size"] == [SIZE, SIZE]
    metadata = json.loads((tmp_path / "metadata.json").read_text())
    # Those of torchvision's ResNet-18 for one channel, without classifier, and the running statistics.
    assert metadata["parameter_count"] == 11_689_512 - 513_000 - 2 * 64 * 49 + 2 * 4_800


@pytest.mark.parametrize(
    ("name", "blocks", "block"),
    [("resnet34", [3, 4, 6, 3], "basic_block"), ("resnet101", [3, 4, 23, 3], "bottleneck_block")],
)
def test_the_geometry_of_a_resnet(name, blocks, block):
    encoder = make_encoder(name, image_shape=(None, None, 3), stem="imagenet")
    arguments = backbone_arguments(Parts(encoder, None, None, 32, MEAN, STD, None))
    assert arguments["stackwise_num_blocks"] == blocks
    assert arguments["block_type"] == block
    assert arguments["stackwise_num_filters"] == [64, 128, 256, 512]
    assert arguments["stackwise_num_strides"] == [1, 2, 2, 2]


@pytest.mark.parametrize(
    ("name", "stem", "reason"),
    [
        (
            "resnet10",
            "small",
            'received the stem "small" and 64 channels in the first stage, expected "imagenet" and 64',
        ),
        ("resnet10", "small_padded", 'received the stem "small_padded"'),
        ("resnet10", "half", 'received the stem "half"'),
        ("resnet10_w0p5", "imagenet", 'received the stem "imagenet" and 32 channels'),
        ("vit_ti8", "auto", "expected a ResNet"),
        ("keras:MobileNetV3Small", "auto", "expected a ResNet"),
    ],
)
def test_what_keras_hub_has_not_is_refused(name, stem, reason):
    encoder = make_encoder(name, image_shape=(64, 64, 3), stem=stem)
    parts = Parts(encoder, None, None, 64, MEAN, STD, None)
    with pytest.raises(ExportError, match=f"{encoder.name} has no counterpart in KerasHub: {reason}.*Choose --format"):
        FORM.check(material_of(parts))


def test_a_foreign_network_of_the_same_name_is_refused():
    images = keras.Input((64, 64, 3))
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 3)(images))
    parts = Parts(keras.Model(images, features, name="resnet50"), None, None, 64, MEAN, STD, None)
    with pytest.raises(ExportError, match="resnet50 has no counterpart in KerasHub. Invalid model: .*Choose --format"):
        FORM.check(material_of(parts))


def test_a_classifier_is_refused():
    parts = replace(parts_of("resnet10"), head=make_head(512, 2), class_names=("a", "b"))
    with pytest.raises(ExportError, match="Invalid --head: received a classifier for the format keras-hub"):
        FORM.check(material_of(parts))


@pytest.mark.slow
@WITH_KERAS_HUB
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_keras_hub_gives_the_same_features(name, photographs, tmp_path):
    parts = parts_of(name)
    written(parts, tmp_path)
    views = views_of(photographs)
    expected = source_outputs(parts, views)
    found = replay_file(FORM.read, tmp_path, {"views": views})
    figures = FORM.compare(Replayed(tmp_path, parts, views, None, expected, found))
    assert figures["largest_difference"]["features"] < 1e-5 * figures["largest_value"]["features"]


@pytest.mark.slow
@WITH_KERAS_HUB
def test_a_detector_starts_from_a_preset(tmp_path):
    """The lines of docs/detection.md: forward, a training step and boxes of a RetinaNet."""
    preset = tmp_path / "runs" / "photos" / "exports" / "keras-hub" / "1"
    preset.mkdir(parents=True)
    written(parts_of("resnet10"), preset)
    (lines,) = re.findall(r"```python\n(import keras\n.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    done = subprocess.run([sys.executable, "-c", lines], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("(2, 100, 4)\n")
