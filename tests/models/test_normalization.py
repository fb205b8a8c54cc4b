import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.models import BatchNormalization
from barlowtf.models.normalization import fused_normalization, synchronized_normalization

CHANNELS = 5
GAMMA = np.linspace(0.5, 1.5, CHANNELS, dtype=np.float32)
BETA = np.linspace(-1.0, 1.0, CHANNELS, dtype=np.float32)


def images(count, seed=0):
    """Channels of different mean and spread."""
    random = np.random.default_rng(seed).standard_normal((count, 3, 2, CHANNELS))
    return (random * np.arange(1, CHANNELS + 1) + np.arange(CHANNELS)).astype(np.float32)


def oracle(x, upstream):
    """Output, unbiased variance, and gradients of sum(upstream * output), float64, from the chain rule step by step."""
    x, upstream = x.astype(np.float64).reshape(-1, CHANNELS), upstream.astype(np.float64).reshape(-1, CHANNELS)
    count = len(x)
    centered = x - x.mean(axis=0)
    variance = (centered**2).mean(axis=0)
    inverse = 1 / np.sqrt(variance + 1e-5)
    d_normalized = upstream * GAMMA
    d_variance = (d_normalized * centered).sum(axis=0) * -0.5 * inverse**3
    d_centered = d_normalized * inverse + d_variance * 2 * centered / count
    return {
        "y": centered * inverse * GAMMA + BETA,
        "mean": x.mean(axis=0),
        "variance": variance * count / (count - 1),
        "d_x": d_centered - d_centered.mean(axis=0),
        "d_gamma": (upstream * centered * inverse).sum(axis=0),
        "d_beta": upstream.sum(axis=0),
    }


def value_and_gradient(normalize, x, upstream):
    gamma, beta = tf.constant(GAMMA), tf.constant(BETA)
    with tf.GradientTape() as tape:
        tape.watch([x, gamma, beta])
        y, mean, variance = normalize(x, gamma, beta)
        loss = tf.reduce_sum(tf.cast(upstream * y, tf.float32))
    d_x, d_gamma, d_beta = tape.gradient(loss, [x, gamma, beta])
    return {"y": y, "mean": mean, "variance": variance, "d_x": d_x, "d_gamma": d_gamma, "d_beta": d_beta}


@pytest.mark.parametrize("normalize", [fused_normalization, synchronized_normalization])
def test_one_replica_against_the_oracle(normalize):
    x, upstream = images(4), images(4, seed=1)
    received = value_and_gradient(normalize, tf.constant(x), tf.constant(upstream))
    for name, expected in oracle(x, upstream).items():
        # float32 sums over 24 values of size about 10.
        np.testing.assert_allclose(
            np.reshape(received[name], expected.shape), expected, rtol=1e-5, atol=2e-5, err_msg=name
        )


# Unequal shares; the last one empty, as the end of a data set may leave it.
@pytest.mark.parametrize("split", [3, 2, 4])
def test_two_replicas_equal_the_global_batch(two_replicas, split):
    x, upstream = images(4), images(4, seed=1)
    expected = oracle(x, upstream)
    received = on_two(two_replicas, synchronized_normalization, x, upstream, split)
    for name in ("y", "d_x"):
        joined = np.concatenate([values[name].numpy() for values in received]).reshape(-1, CHANNELS)
        np.testing.assert_allclose(joined, expected[name], rtol=1e-5, atol=2e-5, err_msg=name)  # as on one replica
    for name in ("mean", "variance"):
        for values in received:
            np.testing.assert_allclose(values[name], expected[name], rtol=1e-6, atol=1e-6)  # a few roundings of float32
    for name in ("d_gamma", "d_beta"):
        total = sum(values[name].numpy() for values in received)
        np.testing.assert_allclose(total, expected[name], rtol=1e-5, atol=2e-5, err_msg=name)  # as on one replica


def test_synchronized_equals_fused(two_replicas):
    x, upstream = images(8), images(8, seed=1)
    fused = value_and_gradient(fused_normalization, tf.constant(x), tf.constant(upstream))
    received = on_two(two_replicas, synchronized_normalization, x, upstream, 4)
    for name in ("y", "d_x"):
        joined = np.concatenate([values[name].numpy() for values in received])
        # Relative to the largest value: two orders of summation in float32.
        assert np.abs(joined - fused[name]).max() <= 1e-6 * np.abs(fused[name]).max()


def on_two(strategy, normalize, x, upstream, split):
    """`value_and_gradient` on both replicas, compiled; the first takes `split` images."""

    def share(values):
        parts = [values[:split], values[split:]]
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(parts[context.replica_id_in_sync_group])
        )

    step = tf.function(lambda a, b: strategy.run(value_and_gradient, args=(normalize, a, b)))
    result = step(share(x), share(upstream))
    return [{name: strategy.experimental_local_results(value)[i] for name, value in result.items()} for i in range(2)]


def made(shape, **options):
    layer = BatchNormalization(**options)
    layer.build(shape)
    layer.gamma.assign(GAMMA)
    layer.beta.assign(BETA)
    return layer


@pytest.mark.parametrize("shape", [(4, 3, 2, CHANNELS), (24, CHANNELS)])
def test_layer_normalizes_and_follows_the_unbiased_variance(shape):
    x = images(4).reshape(shape)
    expected = oracle(x, x)
    layer = made(shape)
    y = layer(x, training=True)
    assert y.shape == shape
    # float32 sums over 24 values of size about 10.
    np.testing.assert_allclose(np.reshape(y, (-1, CHANNELS)), expected["y"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(layer.moving_mean, 0.1 * expected["mean"], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * expected["variance"], rtol=1e-6)


@pytest.mark.parametrize("shape", [(4, 3, 2, CHANNELS), (24, CHANNELS)])
@pytest.mark.parametrize("frozen", [False, True])
def test_layer_uses_running_statistics_outside_training(shape, frozen):
    x = images(4).reshape(shape)
    layer = made(shape)
    layer.moving_mean.assign(BETA + 1)
    layer.moving_variance.assign(GAMMA + 1)
    layer.trainable = not frozen
    y = layer(x, training=frozen)
    expected = (x - (BETA + 1)) / np.sqrt(GAMMA + 1 + 1e-5) * GAMMA + BETA
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)  # float32, values up to 20
    np.testing.assert_array_equal(layer.moving_mean, BETA + 1)


def test_layer_in_bfloat16_keeps_statistics_in_float32():
    layer = made((None, 3, 2, CHANNELS), dtype="mixed_bfloat16")
    x = tf.cast(images(4), tf.bfloat16)
    y = layer(x, training=True)
    expected = oracle(tf.cast(x, tf.float32).numpy(), images(4))
    assert y.dtype == tf.bfloat16
    assert {weight.dtype for weight in layer.weights} == {"float32"}
    np.testing.assert_allclose(layer.moving_mean, 0.1 * expected["mean"], rtol=1e-5, atol=1e-6)  # float32 sums
    # bfloat16 has 8 bits: half a step is 2⁻⁹ of the value, which reaches 4.
    np.testing.assert_allclose(
        tf.cast(y, tf.float32).numpy().reshape(-1, CHANNELS), expected["y"], rtol=2**-8, atol=0.01
    )


@pytest.mark.parametrize("normalize", ["batch", "running statistics"])
def test_layer_in_float64_computes_in_float64_and_keeps_float32_weights(normalize):
    layer = made((None, 3, 2, CHANNELS), dtype="float64")
    x, upstream = images(4).astype(np.float64), images(4, seed=1).astype(np.float64)
    if normalize == "batch":
        expected = oracle(x, upstream)
    else:
        scale = GAMMA / np.sqrt(1 + 1e-5)
        expected = {
            "y": x * scale + BETA,  # mean 0 and variance 1, as they start
            "d_x": upstream * scale,
            "d_gamma": (upstream * x / np.sqrt(1 + 1e-5)).sum(axis=(0, 1, 2)),
            "d_beta": upstream.sum(axis=(0, 1, 2)),
        }
    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        y = layer(inputs, training=normalize == "batch")
        loss = tf.reduce_sum(upstream * y)
    d_x, d_gamma, d_beta = tape.gradient(loss, [inputs, layer.gamma.value, layer.beta.value])
    assert {weight.dtype for weight in layer.weights} == {"float32"}
    for name, received in {"y": y, "d_x": d_x}.items():
        assert received.dtype == tf.float64
        # Sums of float64 over 24 values of size about 10: float32 anywhere on the way leaves 1e-7 and more.
        np.testing.assert_allclose(
            np.reshape(received, (-1, CHANNELS)), expected[name].reshape(-1, CHANNELS), rtol=1e-12, atol=1e-12
        )
    for name, received in {"d_gamma": d_gamma, "d_beta": d_beta}.items():
        np.testing.assert_allclose(received, expected[name], rtol=1e-7)  # one rounding to float32
    if normalize == "batch":
        # Three roundings of float32: the moment, its share, the sum.
        np.testing.assert_allclose(layer.moving_mean, 0.1 * expected["mean"], rtol=3e-7)
        np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * expected["variance"], rtol=3e-7)


def test_layer_on_two_replicas_trains_as_on_one(two_replicas):
    """In training mode, then in inference mode on the statistics that training left."""
    x = images(4)
    single = made(x.shape)
    with two_replicas.scope():
        layer = made(x.shape)
    shares = two_replicas.experimental_distribute_values_from_function(
        lambda context: tf.constant(np.split(x, [3])[context.replica_id_in_sync_group])
    )

    @tf.function
    def step(training):
        return two_replicas.run(lambda share: layer(share, training=training), args=(shares,))

    for training in (True, False):
        expected = single(x, training=training)
        received = np.concatenate(two_replicas.experimental_local_results(step(training)))
        np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-5)  # orders of summation in float32
    for name in ("moving_mean", "moving_variance"):
        # Each replica keeps its own copy: no step waits for the others only to write a statistic.
        assert getattr(layer, name).value.synchronization == tf.VariableSynchronization.ON_READ
        copies = two_replicas.experimental_local_results(getattr(layer, name).value)
        np.testing.assert_array_equal(copies[0], copies[1])
        expected = getattr(single, name).numpy()
        np.testing.assert_allclose(getattr(layer, name).numpy(), expected, rtol=1e-6, atol=1e-6)  # float32 rounding


def test_checkpoint_moves_between_replica_counts(two_replicas, tmp_path):
    with two_replicas.scope():
        layer = made((None, CHANNELS))
        layer.moving_mean.assign(BETA)
        path = tf.train.Checkpoint(layer=layer).write(str(tmp_path / "two"))
    single = BatchNormalization()
    single.build((None, CHANNELS))
    tf.train.Checkpoint(layer=single).read(path).assert_consumed()
    np.testing.assert_array_equal(single.moving_mean, BETA)
    path = tf.train.Checkpoint(layer=single).write(str(tmp_path / "one"))
    with two_replicas.scope():
        layer.moving_mean.assign(np.zeros(CHANNELS))
        tf.train.Checkpoint(layer=layer).read(path).assert_consumed()
    for copy in two_replicas.experimental_local_results(layer.moving_mean.value):
        np.testing.assert_array_equal(copy, BETA)


def test_layer_compiles_with_xla():
    layer, plain = made((4, 3, 2, CHANNELS)), made((4, 3, 2, CHANNELS))
    y = tf.function(lambda x: layer(x, training=True), jit_compile=True)(images(4))
    np.testing.assert_allclose(
        y, plain(images(4), training=True), rtol=1e-5, atol=1e-5
    )  # orders of summation in float32
    np.testing.assert_allclose(layer.moving_variance, plain.moving_variance, rtol=1e-6)  # too


def test_layer_comes_back_from_its_config():
    layer = BatchNormalization(gamma_initializer="zeros", name="bn2", dtype="mixed_bfloat16")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    again.build((None, CHANNELS))
    assert isinstance(again, BatchNormalization)
    assert (again.name, again.dtype_policy.name) == ("bn2", "mixed_bfloat16")
    np.testing.assert_array_equal(again.gamma, np.zeros(CHANNELS))
    assert [weight.name for weight in again.trainable_variables] == ["gamma", "beta"]
    assert [weight.name for weight in again.non_trainable_variables] == ["moving_mean", "moving_variance"]


@pytest.mark.parametrize("shape", [(None, 4, 3), (None, None)])
def test_layer_names_a_wrong_shape(shape):
    with pytest.raises(ValueError, match="Invalid inputs: received shape .* expected"):
        BatchNormalization().build(shape)
