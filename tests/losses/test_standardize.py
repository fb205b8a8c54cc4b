import numpy as np
import pytest
import tensorflow as tf

from barlowtf.losses import standardize


def oracle(z, epsilon=1e-5):
    z = z.astype("f8")
    return (z - z.mean(0)) / np.sqrt(((z - z.mean(0)) ** 2).mean(0) + epsilon)


def embeddings(examples=12, dimensions=5):
    random = np.random.default_rng(2)
    return (random.standard_normal((examples, dimensions)) * 3 + 10).astype("f4")


def weighted_gradient(z, weights):
    z = tf.convert_to_tensor(z)
    with tf.GradientTape() as tape:
        tape.watch(z)
        value = tf.reduce_sum(standardize(z) * weights)
    return tape.gradient(value, z)


def test_equals_the_oracle():
    z = embeddings()
    # float32: values of size 10 centered to size 1.
    np.testing.assert_allclose(standardize(z), oracle(z), rtol=1e-5, atol=1e-5)


def test_epsilon_is_inside_the_root():
    z = np.array([[0.0], [2.0]], np.float32)
    np.testing.assert_allclose(standardize(z, epsilon=3.0), [[-0.5], [0.5]], rtol=1e-6)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "xla"])
def test_means_far_from_zero_keep_their_digits(compiled):
    z = 1000 + embeddings()
    value = tf.function(standardize, jit_compile=True)(tf.constant(z)) if compiled else standardize(z)
    # Numbers near 1000 are 6e-5 apart in float32; the oracle reads the same float32 numbers.
    np.testing.assert_allclose(value, oracle(z), atol=1e-4)


def test_gradient_equals_differences_of_the_oracle():
    z, weights = embeddings(), np.random.default_rng(3).standard_normal((12, 5)).astype("f4")
    gradient = weighted_gradient(z, weights).numpy()
    expected, step = np.zeros(z.shape), 1e-4
    for index in np.ndindex(z.shape):
        moved = np.zeros(z.shape)
        moved[index] = step
        expected[index] = ((oracle(z + moved) - oracle(z - moved)) * weights).sum() / (2 * step)
    # float32 sums of 12 terms against float64 differences.
    np.testing.assert_allclose(gradient, expected, atol=1e-5)


def test_gradient_comes_back_in_the_inputs_dtype():
    z = tf.cast(embeddings(), tf.bfloat16)
    assert standardize(z).dtype == tf.float32
    assert weighted_gradient(z, 1.0).dtype == tf.bfloat16


def test_two_replicas_share_their_moments(two_replicas):
    z, weights = embeddings(), np.random.default_rng(4).standard_normal((12, 5)).astype("f4")

    def half(whole):
        return two_replicas.experimental_distribute_values_from_function(
            lambda context: tf.constant(np.split(whole, 2)[context.replica_id_in_sync_group])
        )

    def joined(parts):
        return np.concatenate([part.numpy() for part in two_replicas.experimental_local_results(parts)])

    run = tf.function(lambda z, weights: (standardize(z), weighted_gradient(z, weights)))
    value, gradient = two_replicas.run(run, args=(half(z), half(weights)))
    np.testing.assert_allclose(joined(value), oracle(z), atol=1e-5)
    # The sum of both replicas' weighted sums is that of the whole batch, and so is its gradient.
    np.testing.assert_allclose(joined(gradient), weighted_gradient(z, weights), atol=1e-5)


def test_wrong_arguments_are_errors():
    with pytest.raises(ValueError, match="Invalid .* received .* expected"):
        standardize(tf.zeros([4]))
    with pytest.raises(ValueError, match="Invalid .* received .* expected"):
        standardize(tf.zeros([4, 2]), epsilon=0.0)
