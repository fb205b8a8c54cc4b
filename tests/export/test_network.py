"""The exported networks against their parts, one after the other."""

import dataclasses

import keras
import numpy as np
import pytest

from barlowtf.export.equalization import can_equalize, equalize
from barlowtf.export.network import equalized_network, inference_network, trainable_network
from barlowtf.export.plain import folded_encoder
from barlowtf.models import make_encoder
from tests.export.conftest import randomized

# Sums and products in another order.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def make(kind, parts, views):
    if kind == "equalized":
        return equalized_network(parts, views[:16])
    return {"trainable": trainable_network, "inference": inference_network}[kind](parts)


@pytest.mark.parametrize("kind", ["trainable", "inference", "equalized"])
def test_outputs_are_those_of_the_parts(parts, views, expected, kind):
    outputs = make(kind, parts, views).predict(views.astype(np.float32) / 255, verbose=0)
    for name in ("features", "logits", "probabilities"):
        np.testing.assert_allclose(outputs[name], expected[name], **CLOSE)
    bare = dataclasses.replace(parts, head=None, class_names=None)
    features = make(kind, bare, views).predict(views.astype(np.float32) / 255, verbose=0)
    np.testing.assert_allclose(features, expected["features"], **CLOSE)


def test_only_the_trainable_one_keeps_normalizations_and_any_size(parts):
    def normalizations(network):
        return sum(
            isinstance(layer, keras.layers.BatchNormalization) for layer in network.get_layer("resnet10_w0p0625").layers
        )

    assert trainable_network(parts).input_shape == (None, None, None, 3)
    assert inference_network(parts).input_shape == (None, 24, 24, 3)
    assert normalizations(trainable_network(parts)) == 12
    assert normalizations(inference_network(parts)) == 0


@pytest.mark.parametrize("name", ["resnet10_w0p0625", pytest.param("resnet50_w0p0625", marks=pytest.mark.slow)])
def test_equalized_channels_reach_half_as_unequally_far_and_give_the_same_features(views, name):
    images = views.astype(np.float32) / 255 - 0.5
    encoder = randomized(make_encoder(name, image_shape=(24, 24, 3), stem="small"), seed=1)
    before = folded_encoder(encoder)
    assert can_equalize(before) and not can_equalize(encoder)
    after = folded_encoder(encoder)
    scale = equalize(after, images)
    np.testing.assert_allclose(np.asarray(after(images)) * scale, np.asarray(before(images)), **CLOSE)

    def reach(model, layer):
        values = np.asarray(keras.Model(model.input, model.get_layer(layer).output)(images))
        return np.percentile(values.reshape(-1, values.shape[-1]), 99.9, axis=0)

    # A tensor that nothing else shares its scales with: half of the spread is left, on a logarithmic scale.
    unequal, equal = (reach(model, "layer1_0_relu1") for model in (before, after))
    living = unequal > 0.02 * unequal.max()
    assert living.sum() >= 2
    np.testing.assert_allclose(np.ptp(np.log(equal[living])), np.ptp(np.log(unequal[living])) / 2, rtol=1e-3)


def test_a_layer_that_scales_do_not_pass_is_refused():
    inputs = keras.Input((8, 8, 3))
    convolved = keras.layers.Conv2D(2, 3)(inputs)
    model = keras.Model(inputs, keras.layers.Softmax(name="softmax_layer")(convolved))
    assert not can_equalize(model)
    with pytest.raises(ValueError, match="softmax_layer of kind Softmax"):
        equalize(model, np.zeros((1, 8, 8, 3)))
