"""Mixed images: the partner, the drawn share, and the third batch of a training step."""

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.augment import mixing_share
from barlowtf.losses import bind
from barlowtf.losses.contract import Mixture
from barlowtf.losses.mixed_barlow_twins import mixed_barlow_twins_loss
from barlowtf.models import BarlowTwins
from barlowtf.models.mixtures import mix, neighbors
from tests.small_models import convolution, small_model, views


def test_each_image_mixes_with_its_neighbor():
    view_a, view_b = views(6)
    expected = 0.25 * view_a + 0.75 * view_b[[1, 0, 3, 2, 5, 4]]
    # One product more than NumPy where a compiler contracts.
    np.testing.assert_allclose(mix(view_a, view_b, 0.25, pairs=1), expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(neighbors(6), [1, 0, 3, 2, 5, 4])
    with pytest.raises(ValueError, match="Invalid batch: received 3 images on a replica, expected an even number"):
        mix(tf.constant(view_a), tf.constant(view_b), 0.25, pairs=2)
    unknown = tf.TensorSpec([None, *view_a.shape[1:]])
    late = tf.function(lambda a, b: mix(a, b, 0.25, pairs=1), input_signature=[unknown, unknown])
    np.testing.assert_allclose(late(view_a, view_b), expected, rtol=0, atol=1e-6)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Expected an even number of images"):
        late(view_a[:5], view_b[:5])


def test_the_share_is_uniform_and_a_function_of_seed_and_step():
    draw = tf.function(lambda step: mixing_share(3, step))
    shares = np.array([float(draw(tf.constant(step, tf.int64))) for step in range(1000)])
    # Kolmogorov-Smirnov: 2 / sqrt(n) has probability 0.0007.
    assert np.abs(np.sort(shares) - (np.arange(1000) + 0.5) / 1000).max() < 2 / np.sqrt(1000)
    assert abs(np.corrcoef(shares[1:], shares[:-1])[0, 1]) < 4 / np.sqrt(1000)
    assert float(mixing_share(3, 7)) == shares[7] != float(mixing_share(4, 7))


def mixed_model(**options):
    return small_model(convolution, loss=bind("mixed_barlow_twins", {"mix": 100.0}), seed=5, **options)


def test_a_step_takes_the_loss_of_three_batches():
    view_a, view_b = views(8)
    model, again = mixed_model(), mixed_model()
    again.set_weights(model.get_weights())
    for step in range(2):
        alpha = mixing_share(5, step)
        z_a, z_b, z_m = (again(view, training=True) for view in (view_a, view_b, mix(view_a, view_b, alpha, pairs=1)))
        expected = mixed_barlow_twins_loss(z_a, z_b, Mixture(z_m, neighbors(8), alpha), mix=100.0)
        logs = model.training_logs((tf.constant(view_a), tf.constant(view_b)))
        for name in ("invariance", "redundancy", "mixture"):
            assert float(logs[name]) == pytest.approx(float(getattr(expected, name)), rel=1e-4)
        assert float(logs["loss"]) == pytest.approx(float(expected.total), rel=1e-4)
        assert int(logs["first_nonfinite"]) == -1
        again.set_weights(model.get_weights())
    copy = BarlowTwins.from_config(model.get_config())
    assert copy.seed == 5 and copy.bound_loss == model.bound_loss


def test_fit_and_evaluate():
    model = mixed_model()
    data = tf.data.Dataset.from_tensor_slices(views(16)).batch(8)
    history = model.fit(data, epochs=1, shuffle=False, validation_data=data, verbose=0).history
    assert np.all(np.isfinite([history["mixture"], history["val_mixture"]]))


@pytest.mark.slow
@pytest.mark.parametrize("pairs", [1, 2])
def test_two_replicas_take_the_step_of_one(two_replicas, pairs):
    # One pair after the other, each of 16 images; the halves differ in brightness.
    batches = [views(16, seed) for seed in range(pairs)]
    for pair in batches:
        for view in pair:
            view[8:] = 1.5 * view[8:] + 0.5
    pair = tuple(np.concatenate(parts) for parts in zip(*batches, strict=True))

    def per_replica(context):
        first = 8 * context.replica_id_in_sync_group
        rows = np.concatenate([16 * number + first + np.arange(8) for number in range(pairs)])
        return tuple(tf.constant(view[rows]) for view in pair)

    with two_replicas.scope():
        spread = mixed_model(pairs=pairs)
    alone = mixed_model(pairs=pairs)
    alone.set_weights(spread.get_weights())
    batch = two_replicas.experimental_distribute_values_from_function(per_replica)
    step = tf.function(lambda data: two_replicas.run(spread.training_logs, args=(data,)))
    step_of_one = tf.function(alone.training_logs)
    for _ in range(2):
        one = step_of_one(tuple(tf.constant(view) for view in pair))
        two = {name: value.values[0] for name, value in step(batch).items()}
    for name in ("loss", "mixture"):
        np.testing.assert_allclose(two[name], one[name], rtol=1e-4)
    # Two steps, so that a wrong first gradient shows; float32 sums in another order.
    for a, b in zip(spread.weights, alone.weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-5, err_msg=a.path)


@pytest.mark.slow
def test_the_step_compiles_with_xla():
    model, pair = mixed_model(), tuple(tf.constant(view) for view in views(8))
    plain = mixed_model()
    plain.set_weights(model.get_weights())
    compiled = tf.function(model.training_logs, jit_compile=True)(pair)
    # float32 sums in another order.
    assert float(compiled["loss"]) == pytest.approx(float(plain.training_logs(pair)["loss"]), rel=1e-4)
