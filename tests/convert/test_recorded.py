"""The official output that is packaged, and what a conversion says about it."""

from importlib import resources

import numpy as np

from barlowtf.convert import compare_with_recorded
from barlowtf.models import make_encoder


def test_the_packaged_record_is_the_golden_one(golden):
    with (
        np.load(golden / "resnet50.npz") as expected,
        np.load(resources.files("barlowtf.convert") / "recorded.npz") as packaged,
    ):
        (key,) = {name.partition("/")[0] for name in packaged}
        np.testing.assert_array_equal(packaged[f"{key}/features"], expected["eval"])
        assert packaged[f"{key}/seed"] == expected["salt"] + 100
        assert packaged[f"{key}/shape"].tolist() == [2, 96, 96, 3]


def test_a_converted_encoder_is_held_against_it(resnet50_models):
    encoder = resnet50_models.encoder
    difference = compare_with_recorded(encoder)
    assert difference.images == (2, 96, 96, 3)
    # float32 through 53 layers; measured 9e-7 and, of features up to 1840, 2e-3.
    assert 0 < difference.relative < 1e-5
    assert difference.largest < 2e-2
    kernel = encoder.get_layer("conv1").kernel
    before = kernel.numpy()
    kernel.assign(before + 1e-6)
    assert compare_with_recorded(encoder) is None
    kernel.assign(before)


def test_other_weights_are_unknown():
    assert compare_with_recorded(make_encoder("resnet10_w0p0625", image_shape=(8, 8, 3))) is None
