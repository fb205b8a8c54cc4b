"""Solarization against torchvision's recorded output and by hand."""

import numpy as np
import pytest

from barlowtf.augment import solarize


def test_solarize_matches_torchvision(small, recorded):
    for photograph in range(2):
        # 1 - x of a uint8 in float32 rounds back to the exact uint8.
        out = np.round(solarize(small[photograph : photograph + 1])[0].numpy() * 255)
        np.testing.assert_array_equal(out, recorded[f"{photograph}/solarize"])


def test_values_at_the_threshold_are_inverted():
    levels = (np.arange(256, dtype=np.float32) / 255).reshape(1, 16, 16, 1)
    out = np.round(solarize(levels).numpy().ravel() * 255)
    np.testing.assert_array_equal(out, [i if i < 128 else 255 - i for i in range(256)])


def test_each_example_has_its_own_threshold():
    images = np.full([3, 2, 2, 3], 0.75, np.float32)
    out = solarize(images, np.array([0.5, 0.75, 0.8], np.float32)).numpy()
    np.testing.assert_array_equal(out[:, 0, 0, 0], [0.25, 0.25, 0.75])


def test_images_that_do_not_fit_raise():
    with pytest.raises(ValueError, match="Invalid images: received uint8 .*, expected"):
        solarize(np.zeros([1, 4, 4, 3], np.uint8))
