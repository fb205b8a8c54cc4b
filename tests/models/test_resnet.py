import json

import keras
import numpy as np
import pytest

from barlowtf.models import make_encoder
from barlowtf.models.layers import Layers
from barlowtf.models.resnet import RESNETS, basic_block, bottleneck_block


@pytest.fixture(scope="module")
def recorded(golden):
    with np.load(golden / "resnet50.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def resnet50():
    return make_encoder("resnet50", image_shape=(None, None, 3), dtype="float32")


def relative_error(received, expected):
    return np.linalg.norm(np.asarray(received) - expected) / np.linalg.norm(expected)


def test_names_and_shapes_are_those_of_the_authors_file(resnet50, torch_shapes, golden):
    expected = json.loads((golden / "resnet50_state_dict.json").read_text())
    # The number of batches seen, which PyTorch counts and nobody reads with a fixed momentum.
    expected = {name: shape for name, shape in expected.items() if not name.endswith("num_batches_tracked")}
    assert {name: shape for name, (_, shape) in torch_shapes(resnet50).items()} == expected


def test_resnet50_matches_the_authors_numbers(resnet50, recorded, set_formula_weights):
    salt = int(recorded["salt"])
    set_formula_weights(resnet50, salt)
    square = np.random.default_rng(salt + 100).standard_normal((2, 96, 96, 3)).astype(np.float32)
    odd = np.random.default_rng(salt + 101).standard_normal((1, 97, 75, 3)).astype(np.float32)
    # float32 through 53 layers; measured 9e-7.
    assert relative_error(resnet50(square, training=False), recorded["eval"]) < 1e-5
    assert relative_error(resnet50(odd, training=False), recorded["odd"]) < 1e-5
    # In training mode the last stage normalizes over 18 values, which magnifies rounding: measured 4e-5, and the
    # recorded numbers are themselves 3e-5 from a float64 computation.
    assert relative_error(resnet50(square, training=True), recorded["train"]) < 1e-4
    for key in (key for key in recorded if key.startswith("after_train/")):
        name, statistic = key.removeprefix("after_train/").rsplit(".", 1)
        layer = resnet50.get_layer(name.replace(".", "_"))
        received = {"running_mean": layer.moving_mean, "running_var": layer.moving_variance}[statistic]
        assert relative_error(received, recorded[key]) < 1e-5  # measured 4e-6, in the deepest layer


def test_depth_counts_the_layers_with_weights():
    """Convolutions on the main path, the stem's and the classifier's, as He et al. count."""
    for depth, (block, counts) in RESNETS.items():
        assert depth == {basic_block: 2, bottleneck_block: 3}[block] * sum(counts) + 2


# Trainable parameters of torchvision's models without the classifier.
@pytest.mark.parametrize(
    ("name", "parameters"), [("resnet18", 11_176_512), ("resnet34", 21_284_672), ("resnet101", 42_500_160)]
)
def test_parameters_are_torchvisions(name, parameters):
    model = make_encoder(name, image_shape=(64, 64, 3))
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_variables) == parameters


@pytest.mark.parametrize(("block", "expansion"), [(basic_block, 1), (bottleneck_block, 4)])
def test_a_block_starts_as_the_identity(block, expansion):
    inputs = keras.Input((6, 5, 4 * expansion))
    model = keras.Model(inputs, block(Layers("float32", 0), inputs, 4, 1, "layer1_0"))
    x = np.random.default_rng(0).standard_normal((2, 6, 5, 4 * expansion)).astype(np.float32)
    np.testing.assert_array_equal(model(x, training=True), np.maximum(x, 0))
    # Only because of the last gamma: with 1 in its place the convolutions are heard.
    last = "layer1_0_bn2" if block is basic_block else "layer1_0_bn3"
    model.get_layer(last).gamma.assign(np.ones(4 * expansion))
    assert np.abs(model(x, training=True) - np.maximum(x, 0)).max() > 0.1


@pytest.mark.parametrize("name", ["resnet18_w0p0625", "resnet50_w0p0625"])
def test_residual_branches_that_do_not_start_at_zero(name):
    models = [make_encoder(name, image_shape=(16, 16, 3), zero_residual=zero) for zero in (True, False)]
    last = "bn3" if name.startswith("resnet50") else "bn2"
    for one, other in zip(*(model.layers for model in models), strict=True):
        for weight, changed in zip(one.weights, other.weights, strict=True):
            is_last = one.name.startswith("layer") and one.name.endswith(last) and weight.name == "gamma"
            np.testing.assert_array_equal(changed, weight + 1 if is_last else weight)
    gammas = [layer.gamma.numpy() for layer in models[1].layers if hasattr(layer, "gamma")]
    assert len(gammas) > 16 and all((gamma == 1).all() for gamma in gammas)


def test_the_stride_sits_in_the_3x3_convolution():
    """Version 1.5: the 1×1 convolution before it still sees every pixel."""
    inputs = keras.Input((8, 8, 4))
    model = keras.Model(inputs, bottleneck_block(Layers("float32", 0), inputs, 2, 2, "layer2_0"))
    strides = {layer.name: layer.strides for layer in model.layers if isinstance(layer, keras.layers.Conv2D)}
    assert strides == {
        "layer2_0_conv1": (1, 1),
        "layer2_0_conv2": (2, 2),
        "layer2_0_conv3": (1, 1),
        "layer2_0_downsample_0": (2, 2),
    }
