import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.optim import LAMB


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "xla"])
@pytest.mark.parametrize("decay", ["0.0", "0.01"])
def test_equals_tensorflow_addons(golden, decay, compiled):
    with np.load(golden / "tfa.npz") as record:
        variables = [keras.Variable(record[f"lamb/start/{i}"]) for i in range(3)]
        optimizer = LAMB(float(record["lamb/learning_rate"]), weight_decay=float(decay))
        assert optimizer.epsilon == pytest.approx(float(record["lamb/epsilon"]))
        optimizer.build(variables)

        def step(gradients):
            optimizer.apply(gradients, variables)

        step = tf.function(step, jit_compile=True) if compiled else step
        for t in range(6):
            step([tf.constant(record[f"lamb/grad/{t}/{i}"]) for i in range(3)])
            for i, variable in enumerate(variables):
                # float32 rounding over six steps, on parameters of size 1.
                np.testing.assert_allclose(
                    variable.numpy(), record[f"lamb/wd{decay}/after/{t}/{i}"], rtol=1e-6, atol=1e-6
                )


def test_equals_the_rule_written_out():
    random = np.random.default_rng(1)
    start, gradients = random.standard_normal((4, 3)), random.standard_normal((3, 4, 3))
    variable = keras.Variable(start.astype(np.float32))
    optimizer = LAMB(0.1, weight_decay=0.3, beta_1=0.8, beta_2=0.95, epsilon=1e-3)
    p, m, v = start, np.zeros_like(start), np.zeros_like(start)
    for t, g in enumerate(gradients, start=1):
        optimizer.apply([tf.constant(g, tf.float32)], [variable])
        m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g**2
        d = m / (1 - 0.8**t) / (np.sqrt(v / (1 - 0.95**t)) + 1e-3) + 0.3 * p
        p = p - 0.1 * np.linalg.norm(p) / np.linalg.norm(d) * d
    # float32 against float64 over three steps.
    np.testing.assert_allclose(variable.numpy(), p, rtol=1e-5, atol=1e-6)


def test_a_zero_variable_moves_by_the_rate():
    variable = keras.Variable(np.zeros((2, 2), np.float32))
    LAMB(0.1).apply([tf.ones([2, 2])], [variable])
    # Adam's first direction is the sign of the gradient, up to epsilon 1e-6.
    np.testing.assert_allclose(variable.numpy(), -0.1, rtol=1e-5)


def test_biases_can_be_left_out_of_the_decay():
    def after(decay, decay_biases):
        bias = keras.Variable([1.0, -2.0])
        LAMB(0.1, weight_decay=decay, decay_biases=decay_biases).apply([tf.constant([0.1, 0.2])], [bias])
        return bias.numpy()

    np.testing.assert_array_equal(after(0.5, False), after(0.0, True))
    assert np.any(after(0.5, True) != after(0.0, True))


def test_configuration_makes_the_same_optimizer():
    optimizer = LAMB(0.5, weight_decay=0.1, beta_1=0.5, beta_2=0.6, epsilon=1e-3, decay_biases=False)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert again.get_config() == optimizer.get_config()
    assert again.get_config()["weight_decay"] == 0.1


@pytest.mark.parametrize("arguments", [{"weight_decay": -1.0}, {"beta_1": 1.0}, {"beta_2": -0.1}, {"epsilon": 0.0}])
def test_arguments_out_of_range_are_errors(arguments):
    with pytest.raises(ValueError, match="Invalid .* received .* expected"):
        LAMB(0.1, **arguments)
