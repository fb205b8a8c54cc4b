"""Parts that a loss asks for: predictor, stopped gradient, moving-average copy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.config.section import Section
from barlowtf.distribute import all_reduce_sum, replica_count
from barlowtf.losses import Loss, Parts, ViewEmbeddings, bind
from barlowtf.models import BarlowTwins, BatchNormalization, checkpoint, make_projector
from barlowtf.models.layers import Layers
from barlowtf.models.target import copy_model, momentum_at, move_towards

SIZE, COUNT, WIDTH = 6, 16, 8


class Settings(Section):
    """No settings."""


def byol(views, settings):
    """2 - 2 cos of each prediction and the other view's target, added over both directions, over the global batch."""
    a, b = views
    total = tf.add_n(
        [
            2.0 - 2.0 * tf.reduce_mean(tf.reduce_sum(_unit(one.prediction) * _unit(other.target), axis=1))
            for one, other in ((a, b), (b, a))
        ]
    )

    total = all_reduce_sum(total) / replica_count()
    return {"total": total, "distance": total}


def _unit(z):
    return tf.math.l2_normalize(tf.cast(z, tf.float32), axis=1)


def byol_loss(target="moving_average", momentum=(0.9, 1.0)):
    parts = Parts(predictor=(12,), target=target, momentum=momentum)
    return bind(Loss("byol", Settings, ("distance",), byol, parts=lambda _: parts))


def encoder():
    layers = Layers("float32", 0)
    images = keras.Input((SIZE, SIZE, 3))
    x = layers.normalization(layers.convolution(images, 8, 3, 1, name="conv"), name="bn")
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(layers.relu(x, name="relu")))


def make_model(**options):
    options = {"loss": byol_loss(), "total_steps": 8, **options}
    model = BarlowTwins(encoder(), make_projector(8, (16, WIDTH), dtype="float32"), **options)
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    model.optimizer.build(model.trainable_variables)
    return model


def views(seed=0):
    r = np.random.default_rng(seed)
    base = r.standard_normal((COUNT, SIZE, SIZE, 3))
    return tuple(tf.constant(base + 0.3 * r.standard_normal(base.shape), tf.float32) for _ in range(2))


def test_loss_of_recorded_vectors(golden):
    with np.load(golden / "byol_simsiam.npz") as record:
        sides = [
            ViewEmbeddings(
                tf.constant(record[f"0/p{i}"]), tf.constant(record[f"0/p{i}"]), tf.constant(record[f"0/z{i}"])
            )
            for i in (1, 2)
        ]
        assert float(byol(sides, None)["total"]) == pytest.approx(float(record["0/byol/loss"]), rel=1e-5)


def test_momentum_equals_the_recorded_schedule(golden):
    with np.load(golden / "byol_simsiam.npz") as record:
        for case in sorted({key.split("/")[1] for key in record.files if key.startswith("tau/")}):
            base, final, steps = (record[f"tau/{case}/{name}"] for name in ("base", "final", "max_steps"))
            for step, tau in zip(record[f"tau/{case}/step"], record[f"tau/{case}/tau"], strict=True):
                # float32 of a float64 formula.
                found = momentum_at(int(step), int(steps), (float(base), float(final)))
                assert float(found) == pytest.approx(float(tau), abs=1e-6)


def test_moving_average_equals_the_recorded_trace(golden):
    with np.load(golden / "byol_simsiam.npz") as record:
        names = [key.removeprefix("ema/start/") for key in record.files if key.startswith("ema/start/")]
        slow = [keras.Variable(record[f"ema/start/{name}"]) for name in names]
        online = [keras.Variable(record[f"ema/start/{name}"]) for name in names]
        for step in range(8):
            for name, variable in zip(names, online, strict=True):
                variable.assign(record[f"ema/online/{step}/{name}"])
            move_towards(slow, online, momentum_at(step, 8, (0.99, 1.0)))
            for name, variable in zip(names, slow, strict=True):
                # float32 keeps 6e-8 of a value; eight updates.
                np.testing.assert_allclose(variable.numpy(), record[f"ema/after/{step}/{name}"], rtol=1e-6, atol=1e-7)


def test_a_copy_is_equal_and_not_trainable_but_takes_batch_statistics():
    model = encoder()
    copy = copy_model(model)
    assert copy.trainable_variables == [] and model.trainable_variables
    image, _ = views()
    np.testing.assert_array_equal(copy(image, training=True), model(image, training=True))
    (mine,) = [layer for layer in copy.layers if isinstance(layer, BatchNormalization)]
    (theirs,) = [layer for layer in model.layers if isinstance(layer, BatchNormalization)]
    assert mine.trainable
    np.testing.assert_array_equal(mine.moving_mean, theirs.moving_mean)


@pytest.mark.parametrize("bias", [False, True])
def test_a_predictor_has_biases_where_the_projector_has(bias):
    projector = make_projector(8, (16, WIDTH), bias=bias, dtype="float32")
    predictor = BarlowTwins(encoder(), projector, loss=byol_loss(), total_steps=8).predictor
    assert [layer.use_bias for layer in predictor.layers if isinstance(layer, keras.layers.Dense)] == [bias, bias]


def test_the_copy_follows_parameters_after_each_step():
    model = make_model()
    copies = [model.target_encoder, model.target_projector]
    trained = [model.encoder, model.projector]

    def parameters(parts, of):
        return [
            v.numpy()
            for part, like in zip(parts, of, strict=True)
            for v, o in zip(part.variables, like.variables, strict=True)
            if o.trainable
        ]

    step = tf.function(model.training_logs)
    for number in range(3):
        before = parameters(copies, trained)
        step(views(number))
        m = float(momentum_at(number, 8, (0.9, 1.0)))
        for old, new, online in zip(before, parameters(copies, trained), parameters(trained, trained), strict=True):
            np.testing.assert_allclose(new, m * old + (1 - m) * online, rtol=1e-5, atol=1e-7)
    assert len(model.trainable_variables) == 3 + 4 + 4
    assert model.loss_terms == ("distance",)


@pytest.mark.parametrize("target", ["moving_average", pytest.param("stop_gradient", marks=pytest.mark.slow)])
def test_two_replicas_take_the_step_of_one(two_replicas, target):
    pair = views()
    with two_replicas.scope():
        spread = make_model(loss=byol_loss(target))
    alone = make_model(loss=byol_loss(target))
    alone.set_weights(spread.get_weights())
    batch = two_replicas.experimental_distribute_values_from_function(
        lambda context: tuple(view[context.replica_id_in_sync_group * 8 :][:8] for view in pair)
    )
    step = tf.function(lambda data: two_replicas.run(spread.training_logs, args=(data,)))
    for _ in range(2):
        step(batch)
        tf.function(alone.training_logs)(pair)
    for a, b in zip(spread.variables, alone.variables, strict=True):
        # Two steps, float32 sums in another order.
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-5, err_msg=a.path)


def test_a_resumed_training_equals_the_unbroken_one_bit_for_bit(tmp_path):
    model = make_model()
    step = tf.function(model.training_logs)
    step(views(0))
    checkpoint.save_state(tmp_path, checkpoint.training_state(model), 1, keep=1)
    step(views(1))
    resumed = make_model()
    assert checkpoint.restore_state(tmp_path, checkpoint.training_state(resumed)) == 1
    tf.function(resumed.training_logs)(views(1))
    for one, other in zip(model.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)


def test_micro_batches_serve_a_predictor_but_no_copy():
    whole, parted = (
        make_model(loss=byol_loss("stop_gradient")),
        make_model(loss=byol_loss("stop_gradient"), micro_batch=8),
    )
    for model in (whole, parted):
        (normalization,) = [layer for layer in model.encoder.layers if isinstance(layer, BatchNormalization)]
        normalization.trainable = False
    parted.set_weights(whole.get_weights())
    for model in (whole, parted):
        model.compile(optimizer=keras.optimizers.SGD(0.1))
        tf.function(model.training_logs)(views())
    for a, b in zip(whole.trainable_variables, parted.trainable_variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-6, err_msg=a.path)
    with pytest.raises(ValueError, match="Invalid micro_batch: received 8 with the loss byol, which needs a moving-"):
        make_model(micro_batch=8)


def test_a_momentum_that_changes_needs_the_length_of_the_training():
    with pytest.raises(ValueError, match="Invalid total_steps: received None"):
        make_model(total_steps=None)
    make_model(total_steps=None, loss=byol_loss(momentum=(0.9, 0.9)))


def test_settings_of_the_default_loss_beside_another_one_are_refused():
    with pytest.raises(ValueError, match="Invalid lambd or form"):
        make_model(lambd=0.1)
