"""The convolution's own gradient: against Keras' layer, against sums written by hand, and when it is taken."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.models import convolution
from barlowtf.models.convolution import Convolution
from barlowtf.models.small_convolution import filter_gradient, small_convolution

SHAPES = [(1, 1), (2, 2), (4, 4), (2, 3), (3, 1)]


def make(kind, kernel_size, stride, dtype="float32"):
    padding = "same" if stride == 1 else "valid"
    return kind(4, kernel_size, stride, padding, use_bias=False, dtype=dtype)


def value_and_gradients(layer, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        weights = tf.cast(tf.reshape(tf.range(tf.size(y)), y.shape) % 7, y.dtype) - 3
        total = tf.reduce_sum(y * weights)
    return y, *tape.gradient(total, (x, layer.trainable_variables[0]))


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "xla"])
@pytest.mark.parametrize(("kernel_size", "stride"), [(1, 1), (3, 1), (1, 2), (3, 2)])
@pytest.mark.parametrize("size", SHAPES, ids=str)
def test_equals_keras_in_value_and_gradient(size, kernel_size, stride, compiled, monkeypatch):
    calls = []
    counted = lambda *arguments: (calls.append(1), filter_gradient(*arguments))[1]  # noqa: E731
    monkeypatch.setattr(convolution, "filter_gradient", counted)
    # So large that the output has the wanted size.
    height, width = (stride * (side - 1) + kernel_size if stride > 1 else side for side in size)
    x = np.random.default_rng(0).standard_normal((5, height, width, 3)).astype(np.float32)
    ours, theirs = make(Convolution, kernel_size, stride), make(keras.layers.Conv2D, kernel_size, stride)
    for layer in (ours, theirs):
        layer.build(x.shape)
    theirs.set_weights(ours.get_weights())
    x = tf.constant(x)
    run = tf.function(value_and_gradients, jit_compile=True) if compiled else value_and_gradients
    received = run(ours, x)
    assert calls
    for one, two in zip(received, value_and_gradients(theirs, x), strict=True):
        # float32 sums of up to 45 products in another order.
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("size", "kernel_size", "stride"), [((2, 3), 3, 1), ((7, 5), 3, 2), ((3, 3), 5, 1)])
def test_filter_gradient_equals_sums_by_hand(size, kernel_size, stride):
    """Every product of an input and a gradient that the definition names, one at a time, in float64."""
    zeros = (kernel_size - 1) // 2 if stride == 1 else 0
    height, width = ((side + 2 * zeros - kernel_size) // stride + 1 for side in size)
    r = np.random.default_rng(1)
    x, g = r.standard_normal((2, *size, 3)), r.standard_normal((2, height, width, 2))
    expected = np.zeros((kernel_size, kernel_size, 3, 2))
    for i, j in np.ndindex(kernel_size, kernel_size):
        for row, column in np.ndindex(height, width):
            y, z = stride * row + i - zeros, stride * column + j - zeros
            if 0 <= y < size[0] and 0 <= z < size[1]:
                expected[i, j] += x[:, y, z].T @ g[:, row, column]
    received = filter_gradient(tf.constant(x), tf.constant(g), kernel_size, stride, zeros)
    np.testing.assert_allclose(received, expected, rtol=1e-12, atol=1e-12)  # float64, another order of sums


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize(
    ("size", "kernel_size", "stride"), [(1, 3, 1), (2, 3, 1), (3, 3, 1), (3, 3, 2), (4, 3, 2), (1, 3, 2), (2, 5, 1)]
)
def test_many_small_images_take_one_matrix(size, kernel_size, stride, compiled, monkeypatch):
    """Value and gradients behind a layer of zeros where there is a stride, as in the networks; 64 images."""
    taken = []
    counted = lambda *arguments, **named: (taken.append(1), small_convolution(*arguments, **named))[1]  # noqa: E731
    monkeypatch.setattr(convolution, "small_convolution", counted)
    border = (kernel_size - 1) // 2 if stride > 1 else 0
    r = np.random.default_rng(3)
    x = tf.constant(r.standard_normal((64, size, size, 3)).astype(np.float32))
    models = []
    for kind, named in ((Convolution, {"border": border}), (keras.layers.Conv2D, {})):
        images = keras.Input((size, size, 3))
        padding = "valid" if border else "same"
        layer = kind(4, kernel_size, stride, padding, use_bias=False, **named)
        padded = keras.layers.ZeroPadding2D(border)(images) if border else images
        models.append(keras.Model(images, layer(padded)))
    models[1].set_weights(models[0].get_weights())

    def run(model):
        return tf.function(lambda x: value_and_gradients(model, x), jit_compile=compiled)(x)

    received, expected = run(models[0]), run(models[1])
    assert taken
    for one, two in zip(received, expected, strict=True):
        # float32 sums of up to 64 x 9 products in another order, of values up to 30.
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-4)


def test_few_images_take_the_kernel(monkeypatch):
    """Making the matrix costs more than it saves there."""
    monkeypatch.setattr(convolution, "small_convolution", None)  # Calling it would fail.
    assert make(Convolution, 3, 1)(np.ones((63, 2, 2, 3), np.float32)).shape == (63, 2, 2, 4)


def test_large_images_and_unknown_sizes_take_the_kernel(monkeypatch):
    monkeypatch.setattr(convolution, "_convolve", None)  # Calling it would fail.
    x = np.ones((2, 5, 4, 3), np.float32)
    for shape, layer in (((5, 4, 3), make(Convolution, 3, 1)), ((None, None, 3), make(Convolution, 3, 1))):
        images = keras.Input(shape)
        model = keras.Model(images, layer(images))
        assert model(x).shape == (2, 5, 4, 4)
    monkeypatch.setattr(convolution, "_has_accelerator", lambda: True)
    assert make(Convolution, 3, 1)(x[:, :2, :2]).shape == (2, 2, 2, 4)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_file_holds_it(tmp_path):
    images = keras.Input((2, 2, 3))
    model = keras.Model(images, make(Convolution, 3, 1, "mixed_bfloat16")(images))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(2).standard_normal((2, 2, 2, 3)).astype(np.float32)
    np.testing.assert_array_equal(model(x), again(x))
    assert type(again.layers[1]) is Convolution
