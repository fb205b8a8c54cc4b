import keras
import numpy as np
import pytest

from barlowtf.models.layers import Layers, layer_seed


def model_of(make, shape):
    inputs = keras.Input(shape)
    return keras.Model(inputs, make(inputs))


def correlate(x, kernel, stride):
    """Convolution of one image [H, W, c] with [k, k, c, d], (k - 1) / 2 zeros on every side, one output at a time."""
    size = kernel.shape[0]
    padded = np.pad(x, [(size // 2, size // 2)] * 2 + [(0, 0)])
    rows, columns = ((length - 1) // stride + 1 for length in x.shape[:2])
    out = np.zeros((rows, columns, kernel.shape[3]))
    for i in range(rows):
        for j in range(columns):
            patch = padded[i * stride : i * stride + size, j * stride : j * stride + size]
            out[i, j] = np.einsum("hwc,hwcd->d", patch, kernel)
    return out


@pytest.mark.parametrize("kernel_size", [1, 3, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(8, 6), (7, 9)])
def test_convolution_pads_every_side_alike(kernel_size, stride, size):
    layers = Layers("float32", seed=0)
    model = model_of(lambda x: layers.convolution(x, 4, kernel_size, stride, name="conv1"), (None, None, 3))
    x = np.random.default_rng(0).standard_normal((1, *size, 3)).astype(np.float32)
    expected = correlate(x[0].astype(np.float64), model.get_layer("conv1").kernel.numpy().astype(np.float64), stride)
    assert len(model.weights) == 1
    np.testing.assert_allclose(model(x)[0], expected, rtol=1e-5, atol=1e-5)  # float32 sums of up to 147 products


def test_convolution_starts_as_in_pytorch():
    model = model_of(lambda x: Layers("float32", 0).convolution(x, 128, 3, 1, name="conv1"), (8, 8, 64))
    kernel = model.weights[0].numpy()
    deviation = np.sqrt(2 / (128 * 9))
    # 73,728 draws: their deviation is known to 1 / √(2 · 73728) = 0.26 %, their mean to 0.37 % of it; four of these.
    assert abs(kernel.std() / deviation - 1) < 0.0105
    assert abs(kernel.mean()) < 0.015 * deviation
    # A normal distribution cut at two deviations, Keras' default, would have no such values; here 4.6 % are expected.
    assert 0.04 < np.mean(np.abs(kernel) > 2 * deviation) < 0.05


def test_linear_starts_as_in_pytorch():
    model = model_of(lambda x: Layers("float32", 0).linear(x, 512, name="projector_0"), (64,))
    (kernel,) = model.get_weights()
    assert kernel.shape == (64, 512)
    assert np.abs(kernel).max() <= 1 / 8
    # The largest of 32,768 uniform draws misses the limit by more than 0.1 % with a chance of 6e-15.
    assert np.abs(kernel).max() > 0.999 / 8


def test_first_weights_follow_from_seed_and_name_alone():
    def kernels(seed, names):
        layers = Layers("float32", seed)
        return {name: model_of(lambda x, n=name: layers.linear(x, 3, name=n), (2,)).get_weights()[0] for name in names}

    one, other = kernels(5, ["a", "b"]), kernels(5, ["b", "a"])
    for name in ("a", "b"):
        np.testing.assert_array_equal(one[name], other[name])
    assert not np.array_equal(one["a"], one["b"])
    assert not np.array_equal(one["a"], kernels(6, ["a"])["a"])


def test_layer_seed_is_the_same_on_every_machine():
    assert layer_seed(0, "conv1") == 349183847
