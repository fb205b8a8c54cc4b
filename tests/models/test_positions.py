"""Sine-cosine positions: against the formula, for sizes known and not, and by Keras' operations alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.models.positions import SineCosinePositions


def by_hand(height, width, channels):
    """The formula, entry by entry."""
    table = np.zeros((height, width, channels))
    quarter = channels // 4
    for y in range(height):
        for x in range(width):
            for k in range(quarter):
                omega = 10_000.0 ** (-4 * k / channels)
                table[y, x, [k, k + quarter]] = np.sin(x * omega), np.cos(x * omega)
                table[y, x, [k + 2 * quarter, k + 3 * quarter]] = np.sin(y * omega), np.cos(y * omega)
    return table


@pytest.fixture(scope="module")
def features():
    return np.random.default_rng(0).standard_normal((2, 5, 3, 12)).astype(np.float32)


def test_each_place_gets_its_row_and_column(features):
    expected = features + by_hand(5, 3, 12)
    layer = SineCosinePositions()
    # Sines of float32 angles up to 4.
    np.testing.assert_allclose(layer(features), expected, rtol=0, atol=2e-6)
    assert layer.weights == []

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 12])])
    def of_any_size(x):
        return layer(x)

    np.testing.assert_allclose(of_any_size(features), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("sizes", [(5, 3), (None, None), (5, None)])
def test_operations_of_keras_give_the_same(features, sizes):
    x = keras.Input((*sizes, 12))
    model = keras.Model(x, SineCosinePositions().by_keras_operations(x))
    again = keras.Model.from_config(model.get_config())
    for made in (model, again):
        np.testing.assert_allclose(made(features), features + by_hand(5, 3, 12), rtol=0, atol=2e-6)


def test_bfloat16_counts_in_float32():
    layer = SineCosinePositions(dtype="mixed_bfloat16")
    y = layer(np.zeros((1, 300, 1, 4), np.float32))
    assert y.dtype == tf.bfloat16
    # Rounded once, to 2⁻⁹; a count in bfloat16 would end at 256.
    np.testing.assert_allclose(tf.cast(y, tf.float32), by_hand(300, 1, 4)[None], rtol=0, atol=2**-8)


@pytest.mark.parametrize("shape", [(None, 5, 12), (None, 5, 3, 6), (None, 5, 3, None)])
def test_other_inputs_are_refused(shape):
    with pytest.raises(ValueError, match="Invalid (inputs|channels): received"):
        SineCosinePositions().build(shape)
