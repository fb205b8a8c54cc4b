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
