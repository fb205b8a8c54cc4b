import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.models import make_encoder


@pytest.fixture(scope="module")
def small():
    return make_encoder("resnet18_w0p125", image_shape=(32, 32, 3))


@pytest.mark.parametrize(
    ("name", "features"), [("resnet18_w1", 512), ("resnet18_w0p5", 256), ("resnet50_w0p25", 512), ("resnet18_w2", 1024)]
)
def test_width_scales_every_channel_count(name, features):
    model = make_encoder(name, image_shape=(None, None, 1))
    assert model.name == name
    assert model.input_shape == (None, None, None, 1)
    assert model.output_shape == (None, features)
    expansion = 4 if name.startswith("resnet50") else 1
    assert model.get_layer("conv1").filters * 8 * expansion == features


@pytest.mark.parametrize(
    ("height", "stem", "expected"),
    [(63, "auto", 3), (64, "auto", 7), (None, "auto", 7), (224, "small", 3), (32, "imagenet", 7)],
)
def test_stem(height, stem, expected):
    model = make_encoder("resnet18_w0p125", image_shape=(height, height, 3), stem=stem)
    assert model.get_layer("conv1").kernel_size == (expected, expected)


def test_features_are_the_mean_of_the_last_stage(small):
    x = np.random.default_rng(0).standard_normal((2, 32, 32, 3)).astype(np.float32)
    last = keras.Model(small.input, small.get_layer("layer4_1_relu").output)(x).numpy()
    assert last.shape == (2, 4, 4, 64)
    np.testing.assert_allclose(small(x), last.mean(axis=(1, 2)), rtol=1e-6, atol=1e-7)  # float32 sums of 16


def test_seed_decides_the_first_weights():
    make = lambda seed: make_encoder("resnet18_w0p125", image_shape=(8, 8, 1), seed=seed)  # noqa: E731
    one, again, other = make(1), make(1), make(2)
    for a, b in zip(one.weights, again.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    kernels = [weight for weight in one.weights if weight.name == "kernel"]
    changed = [weight for weight in other.weights if weight.name == "kernel"]
    assert len(kernels) == 20
    assert not any(np.array_equal(a, b) for a, b in zip(kernels, changed, strict=True))


def test_mixed_precision_follows_float32_and_keeps_float32_at_both_ends(small):
    mixed = make_encoder("resnet18_w0p125", image_shape=(32, 32, 3), dtype="mixed_bfloat16")
    x = np.random.default_rng(0).standard_normal((8, 32, 32, 3)).astype(np.float32)
    features = mixed(x)
    assert features.dtype == tf.float32
    assert mixed.get_layer("layer4_1_relu").compute_dtype == "bfloat16"
    assert {weight.dtype for weight in mixed.weights} == {"float32"}
    difference = np.linalg.norm(features - small(x)) / np.linalg.norm(small(x))
    # bfloat16 rounds to 2⁻⁹ = 0.2 % once a layer, and errors add up as in a random walk; 0 would mean float32 was used.
    assert 1e-5 < difference < 0.02


# Keras 3.15 writes its variables in a way that NumPy 2 warns of.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_saved_encoder_comes_back(small, tmp_path):
    x = np.random.default_rng(0).standard_normal((4, 32, 32, 3)).astype(np.float32)
    small(x, training=True)
    small.save(tmp_path / "encoder.keras")
    again = keras.saving.load_model(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(again(x), small(x))
    assert [layer.name for layer in again.layers] == [layer.name for layer in small.layers]


def test_gradient_reaches_every_weight_that_is_not_gated():
    """Last gammas start at 0, so of a block's weights only they and what follows them have a gradient at first."""
    model = make_encoder("resnet18_w0p125", image_shape=(32, 32, 3))
    for layer in model.layers:
        if layer.name.endswith("bn2"):
            layer.gamma.assign(np.ones(layer.gamma.shape))
    x = tf.constant(np.random.default_rng(0).standard_normal((4, 32, 32, 3)), tf.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(x, training=True) ** 2)
    variables = [variable.value for variable in model.trainable_variables]
    for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
        assert gradient is not None, variable.name
        assert np.all(np.isfinite(gradient)) and np.any(gradient), variable.name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet19"}, r'received "resnet19", expected one of resnet10, .*resnet200'),
        ({"name": "vgg16"}, r'received "vgg16", expected resnet10 to resnet200; .*"file.py:name"'),
        ({"name": "resnet50_w0"}, r'received "resnet50_w0", expected a width'),
        ({"stem": "big"}, r'Invalid stem: received "big"'),
        ({"name": "vit_ti4", "zero_residual": False}, "Invalid zero_residual: received false for the encoder vit_ti4"),
        ({"image_shape": (32, 32)}, r"Invalid image shape: received \(32, 32\)"),
        ({"image_shape": (32, 32, None)}, r"Invalid image shape: received \(32, 32, None\)"),
        ({"image_shape": (0, 32, 3)}, r"Invalid image shape: received \(0, 32, 3\)"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_encoder(**{"name": "resnet18", "image_shape": (32, 32, 3), **arguments})
