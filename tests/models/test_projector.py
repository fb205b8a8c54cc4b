import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.models import make_projector


def test_names_and_shapes_are_those_of_the_authors_model(torch_shapes, golden):
    expected = json.loads((golden / "barlow_twins_state_dict.json").read_text())
    expected = {
        name: shape
        for name, shape in expected.items()
        if name.startswith("projector.") and not name.endswith("num_batches_tracked")
    }
    received = torch_shapes(make_projector(2048, (256, 256, 256)))
    assert {name: shape for name, (_, shape) in received.items()} == expected


def test_value_against_the_oracle():
    model = make_projector(6, (5, 4, 3), dtype="float32")
    x = np.random.default_rng(0).standard_normal((7, 6)).astype(np.float32)
    y = x.astype(np.float64)
    for index in (0, 3):
        y = y @ model.get_layer(f"projector_{index}").kernel.numpy()
        y = np.maximum((y - y.mean(axis=0)) / np.sqrt(y.var(axis=0) + 1e-5), 0)
    y = y @ model.get_layer("projector_6").kernel.numpy()
    np.testing.assert_allclose(model(x, training=True), y, rtol=1e-5, atol=1e-5)  # float32 through three layers
    assert np.any(y < 0)  # nothing follows the last layer


def written_out(model, x, bias, normalization):
    """Embeddings of a projector of three layers, float64."""
    step, y = 3 if normalization else 2, x.astype(np.float64)
    for number in range(3):
        layer = model.get_layer(f"projector_{step * number}")
        y = y @ layer.kernel.numpy() + (layer.bias.numpy() if bias else 0)
        if number < 2:
            y = np.maximum((y - y.mean(axis=0)) / np.sqrt(y.var(axis=0) + 1e-5) if normalization else y, 0)
    return y


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("normalization", [False, True])
def test_biases_and_normalization_against_the_oracle(bias, normalization):
    model = make_projector(6, (5, 4, 3), bias=bias, normalization=normalization, dtype="float32")
    x = np.random.default_rng(0).standard_normal((7, 6)).astype(np.float32)
    expected = written_out(model, x, bias, normalization)
    np.testing.assert_allclose(model(x, training=True), expected, rtol=1e-5, atol=1e-5)  # float32 through three layers
    weight = np.random.default_rng(1).standard_normal((7, 3))
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(x, training=True) * weight.astype(np.float32))
    for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
        if variable.name in ("gamma", "beta"):
            continue  # The oracle leaves them at 1 and 0.
        value, place = variable.numpy(), np.unravel_index(variable.shape.num_elements() // 2, variable.shape)
        ends = []
        for change in (1e-3, -1e-3):
            moved = value.copy()
            moved[place] += change
            variable.assign(moved)
            ends.append(np.sum(written_out(model, x, bias, normalization) * weight))
        variable.assign(value)
        # The difference of float64 values 2e-3 apart in float32 weights.
        assert gradient.numpy()[place] == pytest.approx((ends[0] - ends[1]) / 2e-3, rel=1e-2, abs=2e-3), variable.path


def test_without_normalization_the_names_are_those_of_a_sequential():
    model = make_projector(6, (5, 4, 3), bias=True, normalization=False)
    assert [layer.name for layer in model.layers[1:]] == [f"projector_{number}" for number in range(5)]
    assert [weight.path for weight in model.weights] == [
        f"projector_{number}/{part}" for number in (0, 2, 4) for part in ("kernel", "bias")
    ]


def test_biases_start_as_in_pytorch():
    model, again = (make_projector(16, (4000, 4000), bias=True, seed=3) for _ in range(2))
    first, last = (model.get_layer(name) for name in ("projector_0", "projector_3"))
    for layer, fan_in in ((first, 16), (last, 4000)):
        values, bound = layer.bias.numpy(), fan_in**-0.5
        assert np.abs(values).max() <= bound
        # The standard deviation of a uniform distribution; 4000 draws are within 4 sigma = 3 %.
        assert values.std() == pytest.approx(bound / 3**0.5, rel=0.03)
        assert abs(values.mean()) < 4 * bound / 3**0.5 / 4000**0.5
        np.testing.assert_array_equal(values, again.get_layer(layer.name).bias)
    assert np.abs(np.corrcoef(first.bias, last.bias)[0, 1]) < 4 / 4000**0.5
    # Nothing else changes with them.
    without = make_projector(16, (4000, 4000), seed=3)
    np.testing.assert_array_equal(first.kernel, without.get_layer("projector_0").kernel)


def test_one_layer_is_linear():
    model = make_projector(6, (4,))
    assert [weight.shape for weight in model.weights] == [(6, 4)]
    x = np.random.default_rng(0).standard_normal((7, 6)).astype(np.float32)
    np.testing.assert_allclose(model(x), x @ model.weights[0].numpy(), rtol=1e-5, atol=1e-6)  # float32 sums of 6


def test_seed_and_precision():
    one, again, other = (make_projector(6, (5, 5, 5), seed=seed, dtype="mixed_bfloat16") for seed in (1, 1, 2))
    for a, b in zip(one.weights, again.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one.weights[0], other.weights[0])
    # Layers of one shape start at different values.
    assert not np.array_equal(one.get_layer("projector_3").kernel, one.get_layer("projector_6").kernel)
    assert one(np.ones((2, 6), np.float32)).dtype == tf.bfloat16
    assert {weight.dtype for weight in one.weights} == {"float32"}


# Keras 3.15 writes its variables in a way that NumPy 2 warns of.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_saved_projector_comes_back(tmp_path):
    model = make_projector(6, (5, 4, 3))
    x = np.random.default_rng(0).standard_normal((7, 6)).astype(np.float32)
    model(x, training=True)
    model.save(tmp_path / "projector.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "projector.keras")(x), model(x))


@pytest.mark.parametrize(("input_dim", "widths"), [(0, (4,)), (4, ()), (4, (4, 0, 4))])
def test_wrong_arguments(input_dim, widths):
    with pytest.raises(ValueError, match="Invalid widths: received .* expected"):
        make_projector(input_dim, widths)
