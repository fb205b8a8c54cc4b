"""Prototypes of a model: their length, when they learn, replicas, resuming, micro-batches."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.losses import bind
from barlowtf.losses.swav import swav_loss
from barlowtf.models import BarlowTwins, BatchNormalization, checkpoint, make_projector
from barlowtf.models.prototypes import Prototypes
from tests.losses.comparing import relative_distance
from tests.small_models import convolution, small_model, views


def swav(freeze=0, prototypes=6):
    return bind("swav", {"prototypes": prototypes, "freeze_prototypes": freeze})


def model_of(**options):
    model = small_model(convolution, **{"loss": swav(), **options})
    model.compile(optimizer=keras.optimizers.SGD(0.5))
    model.optimizer.build(model.trainable_variables)
    return model


def batch(seed=0, count=16):
    return tuple(map(tf.constant, views(count, seed)))


def lengths(model):
    return np.linalg.norm(model.prototypes.vectors.numpy(), axis=1)


def test_scores_are_cosines_in_float32():
    prototypes = Prototypes(5, 7)
    z = tf.random.stateless_normal([4, 5], [1, 2])
    vectors = prototypes.vectors.numpy()
    expected = (z.numpy() / np.linalg.norm(z, axis=1, keepdims=True)) @ vectors.T
    np.testing.assert_allclose(prototypes(z), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), np.ones(7), rtol=1e-6)
    half = prototypes(tf.cast(z, tf.bfloat16))
    assert half.dtype == tf.float32
    np.testing.assert_array_equal(half, prototypes(tf.cast(tf.cast(z, tf.bfloat16), tf.float32)))
    # Not one direction, as a seed that is used for each row would give.
    assert np.abs(vectors @ vectors.T - np.eye(7)).max() < 0.999


def test_a_step_moves_them_by_the_gradient_and_gives_them_length_1_again():
    model, data = model_of(), batch()
    z = [tf.math.l2_normalize(model(view, training=True), axis=1) for view in data]
    before = tf.constant(model.prototypes.vectors)
    with tf.GradientTape() as tape:
        tape.watch(before)
        total = swav_loss([tf.matmul(rows, before, transpose_b=True) for rows in z]).total
    moved = before - 0.5 * tape.gradient(total, before)
    logs = tf.function(model.training_logs)(data)
    assert float(logs["loss"]) == pytest.approx(float(total), rel=1e-5)
    assert float(logs["loss"]) == pytest.approx(float(logs["divergence"] + logs["entropy"]), rel=1e-5)
    assert int(logs["first_nonfinite"]) == -1
    np.testing.assert_allclose(model.prototypes.vectors, tf.math.l2_normalize(moved, axis=1), rtol=1e-4, atol=1e-5)
    assert relative_distance(model.prototypes.vectors, before) > 1e-3
    np.testing.assert_allclose(lengths(model), np.ones(6), rtol=1e-6)


def test_they_wait_while_they_are_frozen():
    model = model_of(loss=swav(freeze=2))
    step = tf.function(model.training_logs)
    before = model.prototypes.vectors.numpy()
    moved = []
    for number in range(4):
        step(batch(number))
        moved.append(relative_distance(model.prototypes.vectors, before))
    # Dividing by the length again moves the last bit.
    assert max(moved[:2]) < 1e-6 < 1e-3 < min(moved[2:])


def test_training_brings_the_predictions_to_the_codes():
    model = model_of(loss=swav(freeze=1))
    step = tf.function(model.training_logs)
    divergences = [float(step(batch(number % 4))["divergence"]) for number in range(60)]
    assert np.mean(divergences[-8:]) < 0.6 * np.mean(divergences[:4])


def test_local_views_have_scores_too():
    model = model_of(local_views=2)
    data = (*batch(), tf.concat(batch(1), axis=0))
    logs = model.training_logs(data)
    assert np.isfinite(float(logs["loss"])) and int(logs["first_nonfinite"]) == -1


@pytest.mark.parametrize("freeze", [0, 1])
def test_two_replicas_take_the_step_of_one(two_replicas, freeze):
    pair = batch()
    # The halves differ, and so do their codes.
    pair = tuple(tf.concat([view[:8], 1.5 * view[8:] + 0.5], axis=0) for view in pair)
    with two_replicas.scope():
        spread = model_of(loss=swav(freeze))
    alone = model_of(loss=swav(freeze))
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
    model = model_of(loss=swav(freeze=1))
    step = tf.function(model.training_logs)
    step(batch(0))
    checkpoint.save_state(tmp_path, checkpoint.training_state(model), 1, keep=1)
    for number in (1, 2):
        step(batch(number))
    resumed = model_of(loss=swav(freeze=1))
    resumed.prototypes.vectors.assign(tf.zeros_like(resumed.prototypes.vectors))
    assert checkpoint.restore_state(tmp_path, checkpoint.training_state(resumed)) == 1
    again = tf.function(resumed.training_logs)
    for number in (1, 2):
        again(batch(number))
    for one, other in zip(model.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)


def test_micro_batches_take_the_step_of_the_whole_batch():
    whole, parted = model_of(), model_of(micro_batch=4)
    for model in (whole, parted):
        (normalization,) = [layer for layer in model.encoder.layers if isinstance(layer, BatchNormalization)]
        normalization.trainable = False
        model.compile(optimizer=keras.optimizers.SGD(0.5))
    parted.set_weights(whole.get_weights())
    for model in (whole, parted):
        tf.function(model.training_logs)(batch())
    for a, b in zip(whole.trainable_variables, parted.trainable_variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-6, err_msg=a.path)


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "tolerance"), [("float32", 1e-4), ("mixed_bfloat16", 2e-2)])
def test_the_step_compiles_with_xla(policy, tolerance):
    """In bfloat16 XLA rounds the projector's values at other places."""
    losses = []
    for compiled in (False, True):
        model = BarlowTwins(convolution(), make_projector(8, (16, 16), dtype=policy), loss=swav())
        model.compile(optimizer=keras.optimizers.SGD(0.01))
        model.optimizer.build(model.trainable_variables)
        logs = tf.function(model.training_logs, jit_compile=compiled)(batch())
        assert int(logs["first_nonfinite"]) == -1
        assert model.prototypes.vectors.dtype == "float32"
        losses.append(float(logs["loss"]))
    assert losses[1] == pytest.approx(losses[0], rel=tolerance)


def test_a_model_is_made_again_with_them():
    model = model_of()
    again = BarlowTwins.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.prototypes.vectors, model.prototypes.vectors)
    assert model_of(loss=None).prototypes is None
