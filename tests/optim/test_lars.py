import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.optim import LARS, WarmupCosine
from barlowtf.optim.lars import trust_ratio


class Recorded(keras.optimizers.schedules.LearningRateSchedule):
    """A rate for each step, from a list."""

    def __init__(self, rates):
        super().__init__()
        self.rates = tf.constant(rates, tf.float32)

    def __call__(self, step):
        return tf.gather(self.rates, step)


def run_golden(record, apply_step):
    """Largest difference from the recorded parameters after each of the 8 steps, relative to each parameter's scale."""
    variables = [keras.Variable(record[f"start/{i}"]) for i in range(4)]
    optimizer = LARS(
        Recorded(record["learning_rate"]),
        Recorded(record["bias_learning_rate"]),
        weight_decay=float(record["weight_decay"]),
        momentum=float(record["momentum"]),
        eta=float(record["eta"]),
    )
    optimizer.build(variables)
    step = apply_step(lambda gradients: optimizer.apply(gradients, variables))
    worst = 0.0
    for t in range(8):
        step([tf.constant(record[f"grad/{t}/{i}"]) for i in range(4)])
        for i, variable in enumerate(variables):
            expected = record[f"after/{t}/{i}"]
            worst = max(worst, np.max(np.abs(variable.numpy() - expected)) / np.max(np.abs(expected)))
    return worst


@pytest.mark.parametrize(
    "apply_step",
    [lambda f: f, tf.function, lambda f: tf.function(f, jit_compile=True)],
    ids=["eager", "graph", "xla"],
)
def test_equals_the_authors_code(golden, apply_step):
    with np.load(golden / "lars.npz") as record:
        # float32 keeps 6e-8 of a value; eight steps of some ten operations each stay within 1e-6.
        assert run_golden(record, apply_step) < 1e-6


@pytest.mark.parametrize("apply_step", [lambda f: f, lambda f: tf.function(f, jit_compile=True)], ids=["eager", "xla"])
@pytest.mark.parametrize("trace", ["clip", "noclip", "zero_clip", "nozero_clip"])
def test_equals_solo_learn(golden, trace, apply_step):
    with np.load(golden / "lars_solo.npz") as record:
        starts = [record[f"start/{i}"] for i in range(4)]
        variables = [keras.Variable(np.zeros_like(start) if trace == "zero_clip" else start) for start in starts]
        rates = record[f"{trace}/learning_rate" if trace == "nozero_clip" else "learning_rate"]
        rule = {"separate_norms": True} if trace == "noclip" else {"clip": True}
        settings = {name: float(record[name]) for name in ("weight_decay", "momentum", "eta")}
        optimizer = LARS(Recorded(rates), **settings, **rule)
        optimizer.build(variables)
        step = apply_step(lambda gradients: optimizer.apply(gradients, variables))
        for t in range(8):
            step([tf.constant(record[f"grad/{t}/{i}"]) for i in range(4)])
            for i, variable in enumerate(variables):
                expected = record[f"{trace}/after/{t}/{i}"]
                # float32 keeps 6e-8 of a value; eight steps of some ten operations each.
                assert np.max(np.abs(variable.numpy() - expected)) <= 2e-6 * np.max(np.abs(expected)), (t, i)


def test_a_clipped_step_is_at_most_that_of_plain_sgd():
    weight = np.full((2, 2), 5.0, np.float32)
    gradient = np.full((2, 2), 0.1, np.float32)
    for rate, moved in ((0.5, 0.5 * 0.1), (100.0, None)):
        variable = keras.Variable(weight)
        LARS(rate, eta=0.02, weight_decay=0.0, clip=True).apply([tf.constant(gradient)], [variable])
        # Trust is 0.02 * 10 / 0.2 = 1: above the rate 0.5, below the rate 100.
        np.testing.assert_allclose(weight - variable.numpy(), 0.1 if moved is None else moved, rtol=1e-4)


def oracle(parameter, gradients, rates, *, decay, momentum, eta):
    """LARS on a weight, float64, the momentum buffer written out as the authors do."""
    buffer = np.zeros_like(parameter)
    for gradient, rate in zip(gradients, rates, strict=True):
        d = gradient + decay * parameter
        norms = np.linalg.norm(parameter), np.linalg.norm(d)
        q = eta * norms[0] / norms[1] if min(norms) > 0 else 1.0
        buffer = momentum * buffer + q * d
        parameter = parameter - rate * buffer
    return parameter


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_equals_the_rule_written_out(momentum, decay):
    random = np.random.default_rng(0)
    start, rates = random.standard_normal((5, 7)), [0.5, 0.0, 2.0, 0.1]
    # Gradients of very different sizes, one of them 0: the stored trust ratio must follow.
    gradients = [scale * random.standard_normal((5, 7)) for scale in (1.0, 1e-6, 0.0, 1e5)]
    variable = keras.Variable(start.astype(np.float32))
    optimizer = LARS(Recorded(rates), weight_decay=decay, momentum=momentum, eta=0.01)
    for gradient in gradients:
        optimizer.apply([tf.constant(gradient, tf.float32)], [variable])
    expected = oracle(start, gradients, rates, decay=decay, momentum=momentum, eta=0.01)
    # float32 against float64 over four steps.
    np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_trust_ratio_is_one_where_a_norm_is_zero():
    some, nothing = tf.ones([2, 2]), tf.zeros([2, 2])
    assert float(trust_ratio(nothing, some, 0.001)) == 1.0
    assert float(trust_ratio(some, nothing, 0.001)) == 1.0
    assert float(trust_ratio(2 * some, some, 0.5)) == pytest.approx(1.0)
    assert float(trust_ratio(some, some, 0.001)) == pytest.approx(0.001)


def test_biases_take_their_own_rate_without_decay_and_trust_ratio():
    bias = keras.Variable([1.0, 2.0])
    optimizer = LARS(100.0, 0.5, weight_decay=0.1)
    optimizer.apply([tf.constant([0.25, -1.0])], [bias])
    np.testing.assert_array_equal(bias.numpy(), [0.875, 2.5])


def test_one_rate_serves_both_when_no_other_is_given():
    bias = keras.Variable([1.0])
    LARS(0.5).apply([tf.constant([1.0])], [bias])
    assert bias.numpy()[0] == 0.5


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_state_and_norms_are_float32_for_other_variables(dtype):
    values, gradient = np.linspace(-1, 1, 12).reshape(3, 4), np.full((3, 4), 0.5)
    other, plain = keras.Variable(values, dtype=dtype), keras.Variable(values, dtype="float32")
    optimizers = LARS(1.0, eta=0.1), LARS(1.0, eta=0.1)
    optimizers[0].apply([tf.constant(gradient, dtype)], [other])
    optimizers[1].apply([tf.constant(gradient, tf.float32)], [plain])
    assert {v.dtype for v in optimizers[0].variables if "momentum" in v.name} == {"float32"}
    # bfloat16 keeps 8 bits: 2^-9 of values up to 1, once for the start and once for the result.
    np.testing.assert_allclose(
        tf.cast(other.value, tf.float32), plain.numpy(), atol=5e-3 if dtype == "bfloat16" else 1e-6
    )


def test_rates_are_readable_and_floats_can_be_set():
    optimizer = LARS(0.5, 0.25)
    assert float(optimizer.learning_rate) == 0.5
    assert float(optimizer.bias_learning_rate) == 0.25
    optimizer.bias_learning_rate = 0.125
    assert float(optimizer.bias_learning_rate) == 0.125
    schedule = WarmupCosine(0.2, batch_size=256, steps_per_epoch=2, epochs=4, warmup_epochs=1)
    optimizer = LARS(schedule, WarmupCosine(0.1, batch_size=256, steps_per_epoch=2, epochs=4, warmup_epochs=1))
    optimizer.iterations.assign(2)
    assert float(optimizer.bias_learning_rate) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="schedule"):
        optimizer.bias_learning_rate = 0.1


def test_configuration_makes_the_same_optimizer():
    schedule = WarmupCosine(0.0048, batch_size=512, steps_per_epoch=3, epochs=20)
    optimizer = LARS(0.5, schedule, weight_decay=1e-4, momentum=0.8, eta=0.02, clip=True)
    config = keras.saving.serialize_keras_object(optimizer)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == optimizer.get_config()
    assert again.get_config()["weight_decay"] == 1e-4
    again.iterations.assign(7)
    assert float(again.bias_learning_rate) == float(schedule(7))


@pytest.mark.parametrize(
    "arguments",
    [
        {"clip": True, "separate_norms": False},
        {"weight_decay": -1.0},
        {"momentum": 1.0},
        {"momentum": -0.1},
        {"eta": 0.0},
    ],
)
def test_arguments_out_of_range_are_errors(arguments):
    with pytest.raises(ValueError, match="Invalid .* received .* expected"):
        LARS(0.1, **arguments)


def test_two_replicas_apply_the_sum_of_their_gradients(two_replicas):
    start, gradient = np.linspace(-1, 1, 6).reshape(2, 3).astype(np.float32), np.ones((2, 3), np.float32)
    with two_replicas.scope():
        weight, bias = keras.Variable(start), keras.Variable([0.5, 0.5])
        optimizer = LARS(1.0, 0.5, eta=0.1)
        optimizer.build([weight, bias])

    @tf.function
    def step():
        def replica():
            index = tf.distribute.get_replica_context().replica_id_in_sync_group
            share = tf.cast(index + 1, tf.float32)  # 1 and 2: different data on each replica
            optimizer.apply([share * gradient, share * tf.ones([2])], [weight, bias])

        two_replicas.run(replica)

    plain, plain_bias = keras.Variable(start), keras.Variable([0.5, 0.5])
    reference = LARS(1.0, 0.5, eta=0.1)
    for _ in range(3):
        step()
        reference.apply([tf.constant(3 * gradient), 3 * tf.ones([2])], [plain, plain_bias])
    for mirrored, expected in ((weight, plain), (bias, plain_bias)):
        for copy in two_replicas.experimental_local_results(mirrored.value):
            # The same kernels on the same sums.
            np.testing.assert_allclose(copy.numpy(), expected.numpy(), rtol=1e-6)
