"""Normalization by hand."""

import numpy as np
import pytest

from barlowtf.augment import normalize


def test_normalize_subtracts_the_mean_and_divides_by_the_deviation():
    images = np.random.default_rng(0).random((2, 4, 5, 3)).astype(np.float32)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    expected = (images.astype(np.float64) - mean) / std
    # Scale and offset rounded to float32, results up to 3 in size.
    np.testing.assert_allclose(normalize(images, mean, std), expected, rtol=0, atol=1e-6)


def test_one_value_serves_all_channels():
    images = np.ones([1, 2, 2, 4], np.float32)
    np.testing.assert_array_equal(normalize(images, (0.5,), (0.25,)), np.full([1, 2, 2, 4], 2.0))


@pytest.mark.parametrize("mean, std", [((0.5, 0.5), (1.0, 1.0)), ((0.5,), (1.0, 1.0, 1.0))])
def test_another_number_of_values_raises(mean, std):
    with pytest.raises(ValueError, match="Invalid .*: received .*, expected"):
        normalize(np.zeros([1, 2, 2, 3], np.float32), mean, std)
