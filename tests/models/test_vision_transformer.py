"""Vision transformers: against a forward pass written by hand in NumPy, sizes, precision, refusals."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import erf

from barlowtf.models import make_encoder, vision_transformer
from barlowtf.models.positions import SineCosinePositions
from tests.weights import randomized

DEPTH = 3


@pytest.fixture(scope="module", autouse=True)
def shallow():
    """Three blocks instead of twelve: seconds instead of a minute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(vision_transformer.SIZES, "ti", dataclasses.replace(vision_transformer.SIZES["ti"], depth=DEPTH))
        yield


@pytest.fixture(scope="module")
def small(shallow):
    return randomized(make_encoder("vit_ti4", image_shape=(8, 12, 3)), reach=0.2)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).standard_normal((2, 8, 12, 3)).astype(np.float32)


def weights_of(model, name):
    return [value.astype(np.float64) for value in model.get_layer(name).get_weights()]


def linear(model, name, x):
    kernel, bias = weights_of(model, name)
    return x @ kernel + bias


def normalized(model, name, x):
    gamma, beta = weights_of(model, name)
    centered = x - x.mean(axis=-1, keepdims=True)
    return gamma * centered / np.sqrt((centered**2).mean(axis=-1, keepdims=True) + 1e-6) + beta


def attention(model, name, x, heads):
    query, key, value = (linear(model, f"{name}_{part}", x) for part in ("query", "key", "value"))
    width = x.shape[1] // heads
    parts = []
    for head in range(heads):
        columns = slice(width * head, width * (head + 1))
        scores = query[:, columns] @ key[:, columns].T / np.sqrt(width)
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        parts.append(shares / shares.sum(axis=1, keepdims=True) @ value[:, columns])
    return linear(model, f"{name}_output", np.concatenate(parts, axis=1))


def by_hand(model, image):
    """Features of one image, in float64."""
    kernel, bias = weights_of(model, "patches")
    rows, columns = image.shape[0] // 4, image.shape[1] // 4
    patches = image.reshape(rows, 4, columns, 4, 3).transpose(0, 2, 1, 3, 4).reshape(rows, columns, -1)
    x = patches @ kernel.reshape(-1, kernel.shape[-1]) + bias
    x = SineCosinePositions(dtype="float64")(x[None]).numpy()[0].reshape(rows * columns, -1)
    for number in range(DEPTH):
        name = f"block{number}"
        x = x + attention(model, f"{name}_attention", normalized(model, f"{name}_norm1", x), heads=3)
        y = linear(model, f"{name}_mlp_in", normalized(model, f"{name}_norm2", x))
        x = x + linear(model, f"{name}_mlp_out", y * 0.5 * (1.0 + erf(y / np.sqrt(2.0))))
    return normalized(model, "norm", x).mean(axis=0)


def test_features_are_those_of_the_formulas(small, images):
    expected = np.stack([by_hand(small, image.astype(np.float64)) for image in images])
    np.testing.assert_allclose(small(images), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_any_size_has_the_same_weights(small, images):
    free = make_encoder("vit_ti4", image_shape=(None, None, 3))
    free.set_weights(small.get_weights())
    np.testing.assert_allclose(free(images), small(images), rtol=0, atol=1e-5)
    # Rows and columns that do not fill a patch are left out.
    cut = np.pad(images, [(0, 0), (0, 3), (0, 1), (0, 0)], constant_values=9.0)
    np.testing.assert_allclose(free(cut), small(images), rtol=0, atol=1e-5)
    assert free.output_shape == (None, 192)


def test_seed_decides_the_first_weights():
    one, again, other = (make_encoder("vit_ti4", image_shape=(8, 8, 1), seed=seed) for seed in (1, 1, 2))
    kernels = [weight.numpy() for weight in one.weights if weight.name == "kernel"]
    for a, b in zip(one.weights, again.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    changed = [weight.numpy() for weight in other.weights if weight.name == "kernel"]
    assert not any(np.array_equal(a, b) for a, b in zip(kernels, changed, strict=True))
    # Query, key and value of a block, above all.
    assert len({kernel.tobytes() for kernel in kernels}) == len(kernels) == 1 + DEPTH * 6


def test_mixed_precision_keeps_float32_at_both_ends(small, images):
    mixed = make_encoder("vit_ti4", image_shape=(8, 12, 3), dtype="mixed_bfloat16")
    mixed.set_weights(small.get_weights())
    features = mixed(images)
    assert features.dtype == tf.float32
    assert mixed.get_layer("block0_attention_shares").compute_dtype == "float32"
    rounded = keras.Model(mixed.input, mixed.get_layer("block0_attention_rounded").output)
    assert rounded(images).dtype == tf.bfloat16
    assert {weight.dtype for weight in mixed.weights} == {"float32"}
    difference = np.linalg.norm(features - small(images)) / np.linalg.norm(small(images))
    # bfloat16 rounds to 2⁻⁹ = 0.2 % once a layer, and errors add up as in a random walk; 0 would mean float32 was used.
    assert 1e-4 < difference < 0.1


def test_every_weight_has_a_gradient(small, images):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(small(images, training=True) ** 2)
    variables = [variable.value for variable in small.trainable_variables]
    for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
        assert gradient is not None and np.all(np.isfinite(gradient)) and np.any(gradient), variable.name


# Keras 3.15 writes its variables in a way that NumPy 2 warns of.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_saved_encoder_comes_back(small, images, tmp_path):
    small.save(tmp_path / "encoder.keras")
    again = keras.saving.load_model(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(again(images), small(images))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "vit_h14"}, r'received "vit_h14", expected one of vit_ti16, vit_s16, vit_b16'),
        ({"name": "vit_s0"}, r'received "vit_s0"'),
        ({"image_shape": (30, 32, 3)}, r"received \(30, 32, 3\) for the encoder vit_ti4, expected .* patch of 4"),
        ({"image_shape": (None, 2, 3)}, "multiples of the patch of 4"),
        ({"stem": "small"}, 'received "small" for the encoder vit_ti4, expected "auto"'),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_encoder(**{"name": "vit_ti4", "image_shape": (32, 32, 3), **arguments})
