import numpy as np
import pytest
import tensorflow as tf

from barlowtf.distribute import all_gather, all_reduce_sum, replica_count, replica_index

# Small integers: every sum below is exact in float32, so no tolerance is needed.
SHARES = [np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), np.array([[5.0, 6.0], [7.0, 8.0]], np.float32)]
WEIGHTS = [np.array([[2.0, -1.0], [1.0, 3.0]], np.float32), np.array([[-3.0, 1.0], [2.0, 5.0]], np.float32)]


def per_replica(strategy, values):
    return strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(values[context.replica_id_in_sync_group])
    )


def run(strategy, function, *columns, compiled=True):
    """Results of `function` on each replica, as arrays."""
    step = tf.function(strategy.run) if compiled else strategy.run
    result = step(function, args=tuple(per_replica(strategy, values) for values in columns))
    return tf.nest.map_structure(lambda *local: [value.numpy() for value in local], *locals_of(strategy, result))


def locals_of(strategy, result):
    flat = [strategy.experimental_local_results(value) for value in tf.nest.flatten(result)]
    return [tf.nest.pack_sequence_as(result, list(row)) for row in zip(*flat, strict=True)]


def test_one_device_is_the_identity():
    x = tf.constant(SHARES[0])
    assert replica_count() == 1
    assert int(replica_index()) == 0
    np.testing.assert_array_equal(all_reduce_sum(x), SHARES[0])
    np.testing.assert_array_equal(all_gather(x), SHARES[0])


def test_cross_replica_context_is_the_identity(two_replicas):
    with two_replicas.scope():
        assert replica_count() == 1
        assert replica_index() == 0
        np.testing.assert_array_equal(all_gather(tf.constant(SHARES[0])), SHARES[0])


def test_replicas_are_counted_and_numbered(two_replicas):
    counts, indices = run(two_replicas, lambda: (tf.constant(replica_count()), tf.identity(replica_index())))
    assert counts == [2, 2]
    assert indices == [0, 1]


@pytest.mark.parametrize("compiled", [True, False])
def test_values(two_replicas, compiled):
    summed, gathered = run(two_replicas, lambda x: (all_reduce_sum(x), all_gather(x)), SHARES, compiled=compiled)
    for replica in range(2):
        np.testing.assert_array_equal(summed[replica], SHARES[0] + SHARES[1])
        np.testing.assert_array_equal(gathered[replica], np.concatenate(SHARES))


@pytest.mark.parametrize("compiled", [True, False])
def test_gradient_is_that_of_the_sum_of_losses(two_replicas, compiled):
    """loss_r = Σ w_r (Σ_s x_s)²: its sum over r has the gradient 2 (w_0 + w_1) (x_0 + x_1) on both replicas."""

    def gradient(x, weight):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(weight * all_reduce_sum(x) ** 2)
        return tape.gradient(loss, x)

    expected = 2 * (WEIGHTS[0] + WEIGHTS[1]) * (SHARES[0] + SHARES[1])
    for received in run(two_replicas, gradient, SHARES, WEIGHTS, compiled=compiled):
        np.testing.assert_array_equal(received, expected)


@pytest.mark.parametrize("compiled", [True, False])
def test_gather_gradient_is_each_replicas_own_rows(two_replicas, compiled):
    """loss_r = Σ W_r · gathered²: d(Σ_r loss_r)/dx_s = 2 (W_0 + W_1)[rows of s] x_s; unequal shares."""
    shares = [SHARES[0], SHARES[1][:1]]
    weights = [np.arange(6, dtype=np.float32).reshape(3, 2), np.full((3, 2), 10.0, np.float32)]

    def gradient(x, weight):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(weight * all_gather(x) ** 2)
        return tape.gradient(loss, x)

    expected = 2 * (weights[0] + weights[1]) * np.concatenate(shares)
    received = run(two_replicas, gradient, shares, weights, compiled=compiled)
    np.testing.assert_array_equal(received[0], expected[:2])
    np.testing.assert_array_equal(received[1], expected[2:])


def test_gather_keeps_the_static_axes(two_replicas):
    shapes = []
    run(two_replicas, lambda x: shapes.append(all_gather(x).shape.as_list()) or x, SHARES)
    assert shapes == [[None, 2], [None, 2]]


def test_same_global_loss_over_replicas_gives_its_gradient(two_replicas):
    """Each replica differentiates L / R of one global L; the weight's gradients sum to dL/dw."""
    weight = np.array([0.5, -2.0], np.float32)

    def gradient(x):
        w = tf.constant(weight)
        with tf.GradientTape() as tape:
            tape.watch(w)
            loss = tf.reduce_sum(all_gather(x * w)) ** 2 / replica_count()
        return tape.gradient(loss, w)

    received = sum(run(two_replicas, gradient, SHARES))
    columns = np.concatenate(SHARES).sum(axis=0)
    np.testing.assert_array_equal(received, 2 * (columns @ weight) * columns)
