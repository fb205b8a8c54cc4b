import keras
import numpy as np
import pytest

from barlowtf.export import plain_encoder
from barlowtf.models import make_encoder
from barlowtf.models.layers import Layers
from barlowtf.models.stems import half_stem, imagenet_stem, small_padded_stem, small_stem, stem_of


def stem_model(stem):
    images = keras.Input((None, None, 3))
    return keras.Model(images, stem(Layers("float32", 0), images, 8))


@pytest.mark.parametrize("size", [(32, 32), (33, 47)])
def test_imagenet_stem_pools_as_pytorch(size):
    """Maximum over 3×3 windows centered on every second pixel; outside the image there is nothing (-inf)."""
    model = stem_model(imagenet_stem)
    before = keras.Model(model.input, model.get_layer("relu").output)
    x = np.random.default_rng(0).standard_normal((1, *size, 3)).astype(np.float32)
    y = before(x)[0].numpy()
    expected = [
        [y[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].max(axis=(0, 1)) for j in range(0, y.shape[1], 2)]
        for i in range(0, y.shape[0], 2)
    ]
    np.testing.assert_array_equal(model(x)[0], expected)
    assert y.shape[:2] == ((size[0] + 1) // 2, (size[1] + 1) // 2)


def test_small_stem_keeps_the_size():
    model = stem_model(small_stem)
    assert model(np.zeros((2, 9, 7, 3), np.float32)).shape == (2, 9, 7, 8)
    assert model.get_layer("conv1").kernel.shape == (3, 3, 3, 8)


def test_half_stem_halves_the_size():
    model = stem_model(half_stem)
    assert model(np.zeros((2, 9, 8, 3), np.float32)).shape == (2, 5, 4, 8)
    assert model.get_layer("conv1").kernel.shape == (3, 3, 3, 8)


def test_small_padded_stem_against_the_oracle():
    """3x3 at stride 1 behind two zeros on every side: solo-learn's convolution, without its normalization."""
    model = stem_model(small_padded_stem)
    x = np.random.default_rng(0).standard_normal((1, 9, 7, 3)).astype(np.float32)
    kernel = model.get_layer("conv1").kernel.numpy().astype(np.float64)
    padded = np.pad(x[0].astype(np.float64), [(2, 2), (2, 2), (0, 0)])
    expected = [[np.einsum("hwc,hwcd->d", padded[i : i + 3, j : j + 3], kernel) for j in range(9)] for i in range(11)]
    found = keras.Model(model.input, model.get_layer("conv1").output)(x)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)  # float32 sums of 27 products
    assert model(x).shape == (1, 11, 9, 8)


def test_small_padded_stem_starts_as_in_pytorch():
    images = keras.Input((8, 8, 3))
    kernels = []
    for seed in (0, 0, 1):
        model = keras.Model(images, small_padded_stem(Layers("float32", seed), images, 512))
        kernels.append(model.get_layer("conv1").kernel.numpy())
    bound = 27**-0.5
    assert np.abs(kernels[0]).max() <= bound
    # 13,824 uniform draws: their standard deviation is known to 0.4 %, and none of them is above 0.999 of the limit
    # with a chance of 1e-6.
    assert kernels[0].std() == pytest.approx(bound / 3**0.5, rel=0.02)
    assert np.abs(kernels[0]).max() > 0.999 * bound
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])


def test_a_resnet_of_32_pixels_becomes_one_of_34():
    model = make_encoder("resnet18_w0p0625", image_shape=(32, 32, 3), stem="small_padded")
    sizes = [model.get_layer(f"layer{stage}_1_relu").output.shape[1:3] for stage in (1, 2, 3, 4)]
    assert sizes == [(34, 34), (17, 17), (9, 9), (5, 5)]


@pytest.mark.parametrize("stem", ["imagenet", "small", "small_padded", "half"])
def test_the_name_of_a_stem(stem):
    model = make_encoder("resnet10_w0p0625", image_shape=(None, None, 3), stem=stem, dtype="float32")
    assert stem_of(model) == stem_of(plain_encoder(model)) == stem
