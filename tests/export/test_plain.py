"""An encoder in Keras' own layers, and with its normalizations folded away: the same features."""

import keras
import numpy as np
import pytest

from barlowtf.errors import ExportError
from barlowtf.export.plain import folded_encoder, plain_encoder
from barlowtf.models import BatchNormalization, make_encoder, make_projector
from barlowtf.models.folding import find_folds
from barlowtf.models.positions import SineCosinePositions
from tests.export.conftest import randomized


@pytest.fixture(scope="module", params=["resnet18_w0p0625", "resnet50_w0p0625"])
def encoder(request):
    stem = "half" if request.param.startswith("resnet18") else "imagenet"
    return randomized(make_encoder(request.param, image_shape=(None, None, 3), stem=stem, dtype="mixed_bfloat16"))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).standard_normal((4, 33, 40, 3)).astype(np.float32)


def in_float32(encoder, name, stem):
    copy = make_encoder(name, image_shape=(None, None, 3), stem=stem, dtype="float32")
    copy.set_weights(encoder.get_weights())
    return copy


@pytest.mark.parametrize("make", [plain_encoder, folded_encoder])
def test_features_are_those_of_the_encoder_in_float32(encoder, images, make):
    stem = "half" if encoder.name.startswith("resnet18") else "imagenet"
    expected = np.asarray(in_float32(encoder, encoder.name, stem)(images, training=False))
    copy = make(encoder)
    # Sums in another order, and for the folded one products in another order: rounding of the largest terms.
    close = {"rtol": 2e-5, "atol": 1e-6 * np.abs(expected).max()}
    np.testing.assert_allclose(np.asarray(copy(images, training=False)), expected, **close)
    assert all(type(layer).__module__.startswith("keras.") for layer in copy.layers)
    assert {weight.dtype for weight in copy.weights} == {"float32"}
    assert all(layer.compute_dtype == "float32" for layer in copy.layers)


def test_the_plain_one_keeps_weights_and_names(encoder):
    copy = plain_encoder(encoder)
    assert [layer.name for layer in copy.layers] == [layer.name for layer in encoder.layers]
    for ours, theirs in zip(copy.get_weights(), encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_folded_one_has_no_normalization_left(encoder):
    copy = folded_encoder(encoder)
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in copy.layers)
    assert len(copy.weights) == 2 * sum(isinstance(layer, keras.layers.Conv2D) for layer in copy.layers)


def test_a_projector_folds_too():
    projector = randomized(make_projector(8, (16, 16, 4)))
    features = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
    expected = np.asarray(projector(features, training=False))
    np.testing.assert_allclose(np.asarray(folded_encoder(projector)(features)), expected, rtol=2e-5, atol=2e-6)


def test_only_normalizations_of_which_the_layer_before_can_become_a_part_are_folded():
    images = keras.Input((8, 8, 3))
    shared = keras.layers.Conv2D(4, 3, use_bias=False, padding="same", name="shared")(images)
    x = keras.layers.Add()([shared, keras.layers.BatchNormalization(name="of_shared")(shared)])
    x = keras.layers.BatchNormalization(name="lonely")(keras.layers.ReLU()(x))
    x = keras.layers.Conv2D(4, 3, use_bias=False, activation="relu", name="active")(x)
    x = keras.layers.BatchNormalization(name="of_active")(x)
    x = keras.layers.BatchNormalization(name="good")(keras.layers.Conv2D(4, 1, use_bias=False, name="plain")(x))
    model = randomized(keras.Model(images, x + 0.0))
    assert find_folds(model) == {"good": "plain"}
    batch = np.random.default_rng(2).standard_normal((3, 8, 8, 3)).astype(np.float32)
    expected = np.asarray(model(batch, training=False))
    np.testing.assert_allclose(np.asarray(folded_encoder(model)(batch, training=False)), expected, rtol=1e-4, atol=1e-5)


def test_depthwise_convolutions_and_other_epsilons_fold_too():
    images = keras.Input((8, 8, 3))
    x = keras.layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False, name="depthwise")(images)
    x = BatchNormalization(epsilon=1e-2, name="normalization")(x)
    model = randomized(keras.Model(images, keras.layers.GlobalAveragePooling2D()(x)))
    assert find_folds(model) == {"normalization": "depthwise"}
    batch = np.random.default_rng(2).standard_normal((3, 8, 8, 3)).astype(np.float32)
    expected = np.asarray(model(batch, training=False))
    for make in (plain_encoder, folded_encoder):
        np.testing.assert_allclose(np.asarray(make(model)(batch)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("image_shape", [None, (8, 12, 4)])
def test_a_layer_that_says_how_becomes_operations_of_keras(image_shape):
    images = keras.Input((None, None, 4))
    x = keras.layers.Conv2D(8, 1, name="patches", dtype="mixed_bfloat16")(images)
    x = SineCosinePositions(dtype="mixed_bfloat16")(x)
    model = randomized(keras.Model(images, keras.layers.GlobalAveragePooling2D(dtype="float32")(x * x)))
    copy = plain_encoder(model, image_shape=image_shape)
    assert copy.input_shape == (None, *(image_shape or (None, None, 4)))
    assert not any(isinstance(layer, SineCosinePositions) for layer in copy.layers)
    batch = np.random.default_rng(2).standard_normal((3, 8, 12, 4)).astype(np.float32)
    kernel, bias = model.get_layer("patches").get_weights()
    y = SineCosinePositions()(batch @ kernel[0, 0] + bias)
    np.testing.assert_allclose(np.asarray(copy(batch)), np.mean(np.square(y), axis=(1, 2)), rtol=1e-5)


class Doubled(keras.layers.Layer):
    """A layer that cannot tell how it was made."""

    def __init__(self, function, **options):
        super().__init__(**options)
        self.function = function

    def call(self, x):
        return self.function(x)


def test_layers_of_every_kind_are_copied_and_what_cannot_be_is_named():
    images = keras.Input((8, 8, 3))
    x = keras.layers.DepthwiseConv2D(3, activation="gelu", name="depthwise")(images)
    inner = keras.Sequential([keras.Input(x.shape[1:]), keras.layers.Conv2D(4, 1), keras.layers.LayerNormalization()])
    model = randomized(keras.Model(images, keras.layers.GlobalAveragePooling2D()(inner(x))))
    batch = np.random.default_rng(2).standard_normal((3, 8, 8, 3)).astype(np.float32)
    for make in (plain_encoder, folded_encoder):
        np.testing.assert_array_equal(np.asarray(make(model)(batch)), np.asarray(model(batch)))
    with pytest.raises(ExportError, match="The layer twice of kind Doubled cannot be copied"):
        plain_encoder(keras.Model(images, Doubled(lambda x: 2.0 * x, name="twice")(images)))
