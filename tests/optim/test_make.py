import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.config.optimizers import OPTIMIZERS
from barlowtf.optim import LAMB, LARS, SGD, AdamW, make_optimizer

LENGTH = {"batch_size": 512, "steps_per_epoch": 5, "epochs": 20}
NAMES = list(OPTIMIZERS)


def settings(name, **changes):
    return OPTIMIZERS[name](**changes)


@pytest.mark.parametrize(("name", "kind"), list(zip(NAMES, [LARS, LAMB, AdamW, SGD], strict=True)))
def test_makes_what_the_recipe_names(name, kind):
    optimizer = make_optimizer(settings(name, learning_rate=0.3), **LENGTH)
    assert type(optimizer) is kind
    optimizer.iterations.assign(50)
    assert float(optimizer.learning_rate) == pytest.approx(0.6)


def test_lars_takes_both_rates_decay_momentum_and_eta():
    optimizer = make_optimizer(settings("lars", weight_decay=1e-3, momentum=0.5, eta=0.01, clip=True), **LENGTH)
    optimizer.iterations.assign(50)
    assert float(optimizer.bias_learning_rate) == pytest.approx(0.0096)
    config = optimizer.get_config()
    assert (config["weight_decay"], config["momentum"], config["eta"], config["clip"]) == (1e-3, 0.5, 0.01, True)


def test_a_start_rate_reaches_the_schedule():
    optimizer = make_optimizer(settings("sgd", learning_rate=0.3, warmup_start=3e-5), **LENGTH)
    assert float(optimizer.learning_rate) == pytest.approx(3e-5)


@pytest.mark.parametrize("name", NAMES)
def test_decay_leaves_out_biases(name):
    def after(decay):
        weight, bias = keras.Variable(np.full((2, 2), 0.5, np.float32)), keras.Variable([1.0, 2.0])
        optimizer = make_optimizer(settings(name, weight_decay=decay, warmup_epochs=0.0), **LENGTH)
        # Different gradients: a decay along the gradient itself would vanish in the ratio of norms.
        optimizer.apply([tf.constant([[0.1, 0.2], [0.3, -0.4]]), tf.constant([0.1, 0.2])], [weight, bias])
        return weight.numpy(), bias.numpy()

    (weight, bias), (decayed_weight, decayed_bias) = after(0.0), after(0.5)
    np.testing.assert_array_equal(bias, decayed_bias)
    assert np.any(weight != decayed_weight)


def small_model(name):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(1)])
    for index, variable in enumerate(model.trainable_variables):
        variable.assign(np.random.default_rng(index).standard_normal(variable.shape))
    model.compile(optimizer=make_optimizer(settings(name, warmup_epochs=1.0), **LENGTH), loss="mse")
    return model


def batches(count):
    random = np.random.default_rng(7)
    return [
        (random.standard_normal((8, 4)).astype("f4"), random.standard_normal((8, 1)).astype("f4")) for _ in range(count)
    ]


def weights_after(model, data):
    for x, y in data:
        model.train_on_batch(x, y)
    return [variable.numpy() for variable in model.trainable_variables]


# Keras 3.15 hands its variables to NumPy 2 by a protocol that NumPy deprecates; it is nothing of ours.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("name", NAMES)
def test_a_keras_file_goes_on_bit_for_bit(name, tmp_path):
    data = batches(4)
    model = small_model(name)
    weights_after(model, data[:2])
    model.save(tmp_path / "model.keras")
    unbroken = weights_after(model, data[2:])
    resumed = weights_after(keras.models.load_model(tmp_path / "model.keras"), data[2:])
    for one, other in zip(unbroken, resumed, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_goes_on_bit_for_bit(name, tmp_path):
    data = batches(4)
    model = small_model(name)
    weights_after(model, data[:2])
    path = tf.train.Checkpoint(model=model, optimizer=model.optimizer).write(str(tmp_path / "state"))
    unbroken = weights_after(model, data[2:])
    fresh = small_model(name)
    fresh.optimizer.build(fresh.trainable_variables)
    tf.train.Checkpoint(model=fresh, optimizer=fresh.optimizer).read(path).assert_consumed()
    resumed = weights_after(fresh, data[2:])
    for one, other in zip(unbroken, resumed, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_schedule_of_an_optimizer_that_has_taken_steps_begins_at_its_next():
    fresh, later = (
        make_optimizer(settings("lars", bias_learning_rate=0.1), first_step=first, **LENGTH) for first in (0, 70)
    )
    for step in (0, 3, 50, 99):
        fresh.iterations.assign(step)
        later.iterations.assign(70 + step)
        assert float(later.learning_rate) == float(fresh.learning_rate)
        assert float(later.bias_learning_rate) == float(fresh.bias_learning_rate)


def test_a_late_variable_takes_the_steps_of_a_new_one():
    """Its moments are zero when the others have had 200 updates."""
    r = np.random.default_rng(0)
    gradients = [r.standard_normal(3).astype(np.float32) for _ in range(5)]
    starts = []
    for delay in (0, 200):
        late, other = keras.Variable(np.ones(3, np.float32)), keras.Variable(np.ones(3, np.float32))
        optimizer = AdamW(0.01, weight_decay=0.0)
        optimizer.build([late, other])
        optimizer.delay([late], delay)
        for _ in range(delay):
            optimizer.apply([tf.ones(3)], [other])
        for gradient in gradients:
            optimizer.apply([tf.constant(gradient)] * 2, [late, other])
        starts.append(late.numpy())
    # The correction is computed in float32, and so is 1 - 0.999.
    np.testing.assert_allclose(starts[1], starts[0], rtol=1e-5)
