"""A network made again: normalizations, grouped convolutions, inner sequences, dropout, names, seeds, weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.models import BarlowTwins, BatchNormalization, make_projector
from barlowtf.models.rebuilding import rebuild
from barlowtf.models.target import copy_model
from tests.weights import randomized


def original():
    """Every kind of layer and operation that is treated in a way of its own."""
    layers = keras.layers
    images = keras.Input((None, None, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", name="stem")(images)
    x = layers.BatchNormalization(epsilon=1e-3, momentum=0.999, name="stem_bn")(x)
    x = layers.ReLU()(x)
    y = layers.Conv2D(8, 3, padding="same", groups=8, name="grouped")(x)
    y = keras.Sequential([layers.LayerNormalization(), layers.Conv2D(8, 1, name="inner")], name="sequence")(y)
    y = layers.Dropout(0.5)(y)
    x = x + y * 0.5
    pooled = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = x * layers.Conv2D(8, 1, activation="sigmoid", name="gate")(pooled)
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    return keras.Model(images, layers.LayerNormalization()(x))


@pytest.fixture(scope="module")
def source():
    return randomized(original(), reach=0.5)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).standard_normal((4, 8, 8, 3)).astype(np.float32)


def remade(source, **options):
    settings = {"name": "again", "image_shape": (8, 8, 3), "dtype": None, "seed": 0}
    return rebuild(source, **{**settings, **options})


def test_same_function_by_layers_of_ours(source, images):
    copy = remade(source, copy_weights=True)
    # The same operations on the same float32 values; the grouped convolution may add in another order.
    np.testing.assert_allclose(copy(images), source(images), rtol=0, atol=1e-5)
    normalization = copy.get_layer("stem_bn")
    assert isinstance(normalization, BatchNormalization) and normalization.epsilon == 1e-3
    assert isinstance(copy.get_layer("grouped"), keras.layers.DepthwiseConv2D)
    kinds = {type(layer).__name__ for layer in copy.layers}
    assert not kinds & {"Dropout", "Sequential"} and copy.name == "again"
    named = {layer.name for layer in copy.layers if layer.weights}
    assert named == {"stem", "stem_bn", "grouped", "inner", "gate", "layer_normalization", "layer_normalization_1"}


def test_names_and_first_weights_follow_from_the_seed_alone(images):
    first = remade(original(), seed=3)
    keras.Sequential([keras.layers.ReLU(), keras.layers.LayerNormalization()])
    again, other = remade(original(), seed=3), remade(original(), seed=4)
    assert [operation.name for operation in first.operations] == [operation.name for operation in again.operations]
    for a, b in zip(first.weights, again.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    kernels = [(a, b) for a, b in zip(first.weights, other.weights, strict=True) if a.name == "kernel"]
    assert kernels and not any(np.array_equal(a, b) for a, b in kernels)


def test_other_channels_and_precision(images):
    mixed = remade(original(), image_shape=(None, None, 5), dtype="mixed_bfloat16")
    features = mixed(np.zeros((2, 8, 8, 5), np.float32))
    assert features.dtype == tf.float32 and features.shape == (2, 8)
    assert mixed.get_layer("gate").compute_dtype == "bfloat16"
    assert {weight.dtype for weight in mixed.weights} == {"float32"}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_saved_network_comes_back(source, images, tmp_path):
    copy = remade(source, copy_weights=True)
    copy.save(tmp_path / "encoder.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "encoder.keras")(images), copy(images))


def test_a_moving_average_copies_it(source, images):
    network = remade(source, copy_weights=True)
    np.testing.assert_array_equal(copy_model(network)(images), network(images))


@pytest.mark.slow
def test_two_replicas_take_the_step_of_one(two_replicas):
    """Statistics are those of the global batch: the halves of the batch differ in mean and spread."""
    r = np.random.default_rng(0)
    scale = np.linspace(0.2, 2.0, 16).reshape(-1, 1, 1, 1)
    views = [(scale * r.standard_normal((16, 8, 8, 3)) + scale).astype(np.float32) for _ in range(2)]

    def model():
        made = BarlowTwins(remade(original()), make_projector(8, (6,)))
        made.compile(optimizer=keras.optimizers.SGD(0.1), jit_compile=False)
        return made

    with two_replicas.scope():
        spread = model()
    alone = model()
    alone.set_weights(spread.get_weights())
    batch = two_replicas.experimental_distribute_values_from_function(
        lambda context: tuple(tf.constant(view[8 * context.replica_id_in_sync_group :][:8]) for view in views)
    )
    two = tf.function(lambda data: two_replicas.run(spread.training_logs, args=(data,)))(batch)
    one = tf.function(alone.training_logs)(tuple(map(tf.constant, views)))
    np.testing.assert_allclose(two["loss"].values[0], one["loss"], rtol=1e-5)
    for a, b in zip(spread.weights, alone.weights, strict=True):
        # float32 sums in another order.
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-5, err_msg=a.path)
