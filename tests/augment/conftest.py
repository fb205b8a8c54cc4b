"""Shared by the tests of the augmentations: the two photographs and the recorded outputs on them."""

import numpy as np
import pytest
from sklearn.datasets import load_sample_image


@pytest.fixture(scope="session")
def photographs():
    """The central 160 x 160 pixels of both photographs, uint8 [2, 160, 160, 3]."""
    cuts = []
    for name in ("china.jpg", "flower.jpg"):
        photograph = load_sample_image(name)
        top, left = (photograph.shape[0] - 160) // 2, (photograph.shape[1] - 160) // 2
        cuts.append(photograph[top : top + 160, left : left + 160])
    return np.stack(cuts)


@pytest.fixture(scope="session")
def recorded(golden):
    """Outputs of torchvision and Pillow, by name."""
    with np.load(golden / "augment.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def small(recorded):
    """The recorded 96 x 96 crops on which the color operations ran, float32 [2, 96, 96, 3] in [0, 1]."""
    return np.stack([recorded["0/small"], recorded["1/small"]]).astype(np.float32) / 255


@pytest.fixture(scope="session")
def assert_near_recorded():
    """Compares images in [0, 1] with recorded uint8 in steps of 1/255, by mean and 99th percentile."""

    def check(image, expected, mean, percentile_99):
        error = np.abs(np.round(np.asarray(image, np.float64) * 255) - expected.astype(np.float64))
        assert error.shape == expected.shape
        assert error.mean() < mean
        assert np.percentile(error, 99) <= percentile_99

    return check
