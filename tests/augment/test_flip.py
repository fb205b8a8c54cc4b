"""Horizontal flip against torchvision's recorded output."""

import numpy as np
import pytest

from barlowtf.augment import flip


def test_flip_matches_torchvision(small, recorded):
    out = np.round(flip(small).numpy() * 255)
    np.testing.assert_array_equal(out, np.stack([recorded["0/flip"], recorded["1/flip"]]))


def test_two_flips_change_nothing(small):
    assert np.any(flip(small).numpy() != small)
    np.testing.assert_array_equal(flip(flip(small)), small)


def test_images_that_do_not_fit_raise():
    with pytest.raises(ValueError, match="Invalid .*: received .*, expected"):
        flip(np.zeros([4, 4, 3], np.float32))
