import keras
import numpy as np
import pytest

from barlowtf.models.layers import Layers
from barlowtf.models.stems import half_stem, imagenet_stem, small_stem


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
