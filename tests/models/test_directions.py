"""Random directions of a step: their distribution, and the steps of a model that takes them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.augment import random_directions
from barlowtf.losses import bind
from barlowtf.losses.lejepa import lejepa_loss
from barlowtf.models import BatchNormalization, checkpoint
from tests.small_models import convolution, small_model, views


def model_of(**options):
    loss = bind("lejepa", {"directions": 20})
    return small_model(convolution, **{"loss": loss, "seed": 5, **options})


def batch(seed=0, count=16):
    return tuple(map(tf.constant, views(count, seed)))


def test_directions_are_uniform_and_of_length_1():
    directions = random_directions(3, tf.constant(7, tf.int64), 4000, 3).numpy()
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), np.ones(4000), rtol=1e-5)
    # Archimedes: each coordinate of a uniform point of the sphere is uniform in [-1, 1].
    for coordinate in directions.T:
        # Kolmogorov-Smirnov: 2 / sqrt(n) has probability 0.0007.
        expected = (np.arange(4000) + 0.5) / 4000
        assert np.abs((np.sort(coordinate) + 1) / 2 - expected).max() < 2 / np.sqrt(4000)
    moments = directions.T @ directions / 4000
    # The standard deviation of a product of two coordinates is below 0.3.
    np.testing.assert_allclose(moments, np.eye(3) / 3, atol=4 * 0.3 / np.sqrt(4000))


@pytest.mark.parametrize("width", [1, 2, 5])
def test_directions_are_a_function_of_seed_and_step(width):
    draw = tf.function(lambda step: random_directions(3, step, 6, width))
    step = tf.constant(11, tf.int64)
    first = draw(step)
    np.testing.assert_array_equal(first, draw(step))
    np.testing.assert_allclose(random_directions(3, step, 9, width)[:6], first, rtol=1e-5, atol=1e-6)
    if width > 1:
        for other in (draw(step + 1), random_directions(4, step, 6, width)):
            assert np.abs(other - first).max() > 0.1


def test_a_step_takes_the_loss_in_its_directions():
    model, again = model_of(), model_of()
    again.set_weights(model.get_weights())
    for step in range(2):
        z = [again(view, training=True) for view in batch()]
        expected = lejepa_loss(z, directions=random_directions(5, step, 20, 16))
        logs = model.training_logs(batch())
        for name in ("invariance", "sigreg"):
            assert float(logs[name]) == pytest.approx(float(getattr(expected, name)), rel=1e-4)
        assert float(logs["loss"]) == pytest.approx(float(expected.total), rel=1e-4)
        assert int(logs["first_nonfinite"]) == -1
        again.set_weights(model.get_weights())


def test_training_makes_embeddings_normal():
    model = model_of()
    # The weight of SIGReg is 0.05.
    model.compile(optimizer=keras.optimizers.SGD(1.0))
    model.optimizer.build(model.trainable_variables)
    step = tf.function(model.training_logs)
    found = [float(step(batch(number % 4))["sigreg"]) for number in range(60)]
    # Normal embeddings have 1.05.
    assert np.mean(found[:4]) > 3.0 and np.mean(found[-8:]) < 1.5


def test_local_views_count_too():
    data = (*batch(), tf.concat(batch(1), axis=0))
    logs = model_of(local_views=2).training_logs(data)
    assert np.isfinite(float(logs["loss"])) and int(logs["first_nonfinite"]) == -1


def test_two_replicas_take_the_step_of_one(two_replicas):
    # The halves differ.
    pair = tuple(tf.concat([view[:8], 1.5 * view[8:] + 0.5], axis=0) for view in batch())
    with two_replicas.scope():
        spread = model_of()
    alone = model_of()
    alone.set_weights(spread.get_weights())
    shares = two_replicas.experimental_distribute_values_from_function(
        lambda context: tuple(view[context.replica_id_in_sync_group * 8 :][:8] for view in pair)
    )
    step = tf.function(lambda data: two_replicas.run(spread.training_logs, args=(data,)))
    for _ in range(2):
        two, one = step(shares), tf.function(alone.training_logs)(pair)
    assert float(two["loss"].values[1]) == pytest.approx(float(one["loss"]), rel=1e-4)
    for a, b in zip(spread.weights, alone.weights, strict=True):
        # Two steps, float32 sums in another order.
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-5, err_msg=a.path)


def test_a_resumed_training_equals_the_unbroken_one_bit_for_bit(tmp_path):
    model = model_of()
    step = tf.function(model.training_logs)
    step(batch(0))
    checkpoint.save_state(tmp_path, checkpoint.training_state(model), 1, keep=1)
    step(batch(1))
    resumed = model_of()
    assert checkpoint.restore_state(tmp_path, checkpoint.training_state(resumed)) == 1
    tf.function(resumed.training_logs)(batch(1))
    for one, other in zip(model.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)


def test_micro_batches_take_the_step_of_the_whole_batch():
    whole, parted = model_of(), model_of(micro_batch=4)
    for model in (whole, parted):
        (normalization,) = [layer for layer in model.encoder.layers if isinstance(layer, BatchNormalization)]
        normalization.trainable = False
        model.compile(optimizer=keras.optimizers.SGD(0.1))
    parted.set_weights(whole.get_weights())
    for model in (whole, parted):
        tf.function(model.training_logs)(batch())
    for a, b in zip(whole.trainable_variables, parted.trainable_variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-6, err_msg=a.path)


@pytest.mark.slow
def test_the_step_compiles_with_xla():
    losses = [
        float(tf.function(model_of().training_logs, jit_compile=compiled)(batch())["loss"])
        for compiled in (False, True)
    ]
    # float32 sums in another order.
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
