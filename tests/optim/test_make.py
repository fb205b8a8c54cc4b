import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.config import load_recipe
from barlowtf.config.optimizers import OPTIMIZERS
from barlowtf.optim import LAMB, LARS, SGD, AdamW, MomentumSGD, make_optimizer

LENGTH = {"batch_size": 512, "steps_per_epoch": 5, "epochs": 20}
NAMES = list(OPTIMIZERS)


def settings(name, **changes):
    return OPTIMIZERS[name](**changes)


@pytest.mark.parametrize(("name", "kind"), list(zip(NAMES, [LARS, LAMB, AdamW, SGD, MomentumSGD], strict=True)))
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


def test_cifar10_has_the_rates_of_solo_learn():
    """195 steps an epoch: 50,000 images in batches of 256, without the last, partial one."""
    recipe = load_recipe("cifar10")
    optimizer = make_optimizer(
        recipe.optimizer, batch_size=recipe.train.batch_size, steps_per_epoch=195, epochs=recipe.train.epochs
    )
    config = optimizer.get_config()
    assert [config[name] for name in ("weight_decay", "momentum", "eta", "clip")] == [1e-4, 0.9, 0.02, True]
    warmup, total = 1950, 195_000
    for step in (0, 1, 1000, 1949, 1950, 1951, 100_000, 194_999):
        expected = 0.3 * (1 + np.cos(np.pi * (step - warmup) / (total - warmup))) / 2
        if step < warmup:
            expected = 3e-5 + step * (0.3 - 3e-5) / (warmup - 1)
        optimizer.iterations.assign(step)
        for rate in (optimizer.learning_rate, optimizer.bias_learning_rate):
            assert float(rate) == pytest.approx(expected, rel=1e-6, abs=1e-12)  # float32 of a float64 formula


def test_torch_sgd_decays_every_parameter_in_the_gradient():
    variables = [keras.Variable(np.full((2, 2), 0.5, np.float32)), keras.Variable([1.0, 2.0])]
    options = {"learning_rate": 0.1, "weight_decay": 0.5, "warmup_epochs": 0.0, "final_scale": 1.0}
    optimizer = make_optimizer(settings("torch_sgd", **options), **LENGTH)
    expected, buffers = [variable.numpy() for variable in variables], [0.0, 0.0]
    for gradients in ([[[0.1, 0.2], [0.3, -0.4]], [0.1, 0.2]], [[[0.0, 0.1], [0.2, 0.3]], [-0.1, 0.0]]):
        optimizer.apply([tf.constant(gradient) for gradient in gradients], variables)
        for index, gradient in enumerate(gradients):
            buffers[index] = 0.9 * buffers[index] + np.array(gradient) + 0.5 * expected[index]
            expected[index] = expected[index] - 0.2 * buffers[index]  # The rate times 512 / 256.
    for variable, value in zip(variables, expected, strict=True):
        np.testing.assert_allclose(variable.numpy(), value, rtol=1e-6)  # float32 of two steps


def test_torch_sgd_on_two_replicas(two_replicas):
    start = np.linspace(-1, 1, 6).reshape(2, 3).astype(np.float32)

    def optimizer():
        return make_optimizer(settings("torch_sgd", warmup_epochs=0.0), **LENGTH)

    with two_replicas.scope():
        weight, mirrored = keras.Variable(start), optimizer()
        mirrored.build([weight])

    @tf.function
    def step():
        def replica():
            index = tf.distribute.get_replica_context().replica_id_in_sync_group
            mirrored.apply([tf.cast(index + 1, tf.float32) * start], [weight])  # Different data on each replica.

        two_replicas.run(replica)

    plain, reference = keras.Variable(start), optimizer()
    for _ in range(3):
        step()
        reference.apply([tf.constant(3 * start)], [plain])
    for copy in two_replicas.experimental_local_results(weight.value):
        np.testing.assert_allclose(copy.numpy(), plain.numpy(), rtol=1e-6)  # The same kernels on the same sums.


@pytest.mark.parametrize("name", [name for name in NAMES if name != "torch_sgd"])
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
