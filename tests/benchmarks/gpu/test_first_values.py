"""Drawn first values are those of the library's initializers in distribution."""

import numpy as np
import pytest


@pytest.fixture
def draw(gpu):
    return gpu("portable.first_values").draw


def test_draws_depend_on_the_stream_alone(draw):
    entry = {"shape": [4], "dtype": "float32", "rule": {"uniform": [0.0, 1.0]}}
    # Philox's words are the same in every version of NumPy; these are the upper 24 bits of stream 7's first four.
    expected = (np.random.Philox(key=7).random_raw(4) >> 40) * 2.0**-24
    np.testing.assert_array_equal(draw(entry, 7), expected.astype(np.float32))
    assert not np.array_equal(draw(entry, 7), draw(entry, 8))


def test_normal_and_uniform_have_their_moments(draw):
    for rule, mean, std, limit in (
        ({"normal": [0.5, 2.0]}, 0.5, 2.0, np.inf),
        ({"uniform": [-3.0, 3.0]}, 0.0, np.sqrt(3.0), 3.0),
    ):
        values = draw({"shape": [100, 1000], "dtype": "float32", "rule": rule}, 3)
        # 100,000 draws: the mean scatters by std / 316, the deviation by less than std / 316; 4 sigma each.
        assert values.dtype == np.float32
        assert abs(values.mean() - mean) < 4 * std / 316
        assert abs(values.std() - std) < 4 * std / 316
        assert np.abs(values).max() <= limit


def test_integers_and_values(draw):
    pixels = draw({"shape": [10, 1000], "dtype": "uint8", "rule": {"integers": [0, 256]}}, 0)
    assert pixels.dtype == np.uint8 and pixels.min() == 0 and pixels.max() == 255
    few = draw({"shape": [2, 1], "dtype": "int64", "rule": {"values": [5, 6]}}, 0)
    np.testing.assert_array_equal(few, [[5], [6]])


def test_rules_are_those_of_the_initializers(gpu):
    from barlowtf.models import make_encoder, make_projector

    rule_of = gpu("program").rule_of
    encoder = make_encoder("resnet18_w0p25", image_shape=(32, 32, 3))
    for layer in encoder.layers:
        if hasattr(layer, "kernel") and layer.kernel.shape[0] == 3:
            size, _, _, filters = layer.kernel.shape
            ((kind, (mean, std)),) = rule_of(layer.kernel.numpy()).items()
            # Kaiming: N(0, 2 / fan_out). The deviation of n draws scatters by 1 / sqrt(2 n); 4 sigma.
            expected = np.sqrt(2.0 / (size * size * filters))
            assert (kind, mean) == ("normal", 0.0), layer.name
            assert abs(std / expected - 1.0) < 4 / np.sqrt(2.0 * np.prod(layer.kernel.shape)), layer.name
    kernel = make_projector(128, (64,)).layers[-1].kernel.numpy()
    ((kind, (low, high)),) = rule_of(kernel).items()
    # U(-1/sqrt(fan_in), 1/sqrt(fan_in)): its deviation scatters by less than 1 / sqrt(2 n).
    assert kind == "uniform" and low == -high
    assert abs(high * np.sqrt(128) - 1.0) < 4 / np.sqrt(2.0 * kernel.size)
    assert rule_of(np.ones(5)) == {"constant": 1.0}
    assert rule_of(np.arange(3)) == {"values": [0, 1, 2]}
