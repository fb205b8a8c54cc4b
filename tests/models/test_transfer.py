"""Weights of one model for another: other channels, and what does not fit."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.models import make_encoder, make_projector
from barlowtf.models.fingerprint import weights_sha256
from barlowtf.models.transfer import InitialWeights, adapt_channels, differing_steps, fit_weights
from tests.weights import randomized


def encoder(channels, name="resnet10_w0p0625", stem="small", seed=0):
    return randomized(make_encoder(name, image_shape=(8, 8, channels), stem=stem, dtype="float32"), seed)


@pytest.mark.parametrize(
    ("before", "after", "method"),
    [(3, 1, "mean"), (3, 2, "mean"), (1, 3, "repeat"), (3, 6, "repeat"), (3, 4, "repeat"), (3, 13, "repeat")],
)
def test_the_response_to_equal_channels_stays(before, after, method):
    r = np.random.default_rng(0)
    kernel, image = r.standard_normal((3, 3, before, 5)), r.standard_normal((1, 6, 6, 1))
    kernel = kernel.astype(np.float32)
    adapted, said = adapt_channels(kernel, after)
    assert (adapted.shape, adapted.dtype, said) == ((3, 3, after, 5), np.float32, method)
    first, second = (
        tf.nn.conv2d(np.repeat(image, weights.shape[2], axis=3).astype(np.float32), weights, 1, "SAME").numpy()
        for weights in (kernel, adapted)
    )
    # Up to 117 float32 products are added.
    np.testing.assert_allclose(second, first, atol=2e-5)


def test_mean_and_repeat_by_hand():
    kernel = np.arange(3, dtype=np.float32).reshape(1, 1, 3, 1)
    for channels, values in ((1, [3.0]), (2, [1.5, 1.5]), (6, [0, 0.5, 1, 0, 0.5, 1]), (4, [0.1875, 0.9375, 1.6875])):
        adapted, _ = adapt_channels(kernel, channels)
        np.testing.assert_allclose(adapted.ravel()[: len(values)], values)
    single, _ = adapt_channels(kernel[:, :, 2:], 3)
    np.testing.assert_allclose(single.ravel(), [2 / 3] * 3)


def test_a_fit_gives_the_target_the_function_of_the_source():
    source, target = encoder(3, seed=1), encoder(1, seed=2)
    fit = fit_weights(source, target)
    assert fit.misfits == ()
    assert fit.adapted == ("conv1/kernel: 3 -> 1 channels by mean",)
    projector = randomized(make_projector(32, (6, 5), dtype="float32"))
    InitialWeights(fit.values, None).assign(target, projector)
    gray = np.random.default_rng(0).standard_normal((4, 8, 8, 1)).astype(np.float32)
    # The same sums in another order, through twelve convolutions.
    np.testing.assert_allclose(target(gray), source(np.repeat(gray, 3, axis=3)), rtol=1e-3, atol=1e-5)


def test_names_that_keras_gives_are_counted():
    def own(first):
        images = keras.Input((8, 8, 3))
        for _ in range(first):
            keras.layers.Conv2D(2, 3)  # Takes a number.
        x = keras.layers.Conv2D(4, 3)(keras.layers.Conv2D(4, 3)(images))
        return keras.Model(images, keras.layers.GlobalAveragePooling2D()(x))

    source, target = own(0), own(3)
    fit = fit_weights(source, target)
    assert fit.misfits == ()
    for value, weight in zip(fit.values, source.weights, strict=True):
        np.testing.assert_array_equal(value, weight.numpy())


class Scale(keras.layers.Layer):
    """A weight without a name, which Keras calls by the number of variables before it."""

    def build(self, shape):
        self.factor = keras.Variable(np.ones(shape[-1], np.float32))

    def call(self, inputs):
        return inputs * self.factor


def test_weights_without_names_fit_and_have_one_digest():
    source, target = (keras.Sequential([keras.Input((8, 8, 3)), Scale(name="scale")]) for _ in range(2))
    assert source.weights[0].path != target.weights[0].path
    assert fit_weights(source, target).misfits == ()
    assert weights_sha256(source) == weights_sha256(target)


def test_every_weight_that_does_not_fit_is_named():
    fit = fit_weights(encoder(3), encoder(1, stem="imagenet"))
    assert fit.values == ()
    assert fit.misfits == ("1 weights of another shape: conv1/kernel [3, 3, 3, 4] (expected [7, 7, 1, 4])",)
    fit = fit_weights(make_projector(8, (6, 5)), make_projector(8, (6, 4, 3)))
    assert fit.misfits == (
        "1 weights of another shape: projector_3/kernel [6, 5] (expected [6, 4])",
        "5 weights missing: projector_4/gamma [4], projector_4/beta [4], projector_4/moving_mean [4], "
        "projector_4/moving_variance [4], projector_6/kernel [4, 3]",
    )
    unknown = fit_weights(make_projector(8, (6, 4, 3)), make_projector(8, (6, 4))).misfits
    assert [line.partition(":")[0] for line in unknown] == ["5 weights unknown"]


def test_other_steps_over_the_image_are_told():
    assert differing_steps(encoder(3), encoder(3)) == []
    assert differing_steps(encoder(3), encoder(3, stem="half")) == ["conv1: stride (1, 1) -> (2, 2)"]
    assert differing_steps(encoder(3), encoder(3, stem="small_padded")) == ["conv1: zeros on every side 1 -> 2"]
