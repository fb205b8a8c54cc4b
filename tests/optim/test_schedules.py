import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.optim import WarmupCosine


@pytest.mark.parametrize("case", [0, 1, 2])
@pytest.mark.parametrize(("kind", "base_rate"), [("weights", 0.2), ("biases", 0.0048)])
def test_equals_the_authors_code(golden, case, kind, base_rate):
    with np.load(golden / "schedule.npz") as record:
        schedule = WarmupCosine(
            base_rate,
            batch_size=int(record[f"{case}/batch_size"]),
            steps_per_epoch=int(record[f"{case}/steps_per_epoch"]),
            epochs=int(record[f"{case}/epochs"]),
        )
        rates = [float(schedule(int(step))) for step in record[f"{case}/step"]]
        # float32 keeps 6e-8 of the rate; the arithmetic before it is float64.
        np.testing.assert_allclose(rates, record[f"{case}/{kind}"], rtol=1e-6, atol=0)


@pytest.mark.parametrize("case", [0, 1, 2])
@pytest.mark.parametrize("column", [0, 1])
def test_equals_solo_learn_with_a_start_rate(golden, case, column):
    with np.load(golden / "schedule_solo.npz") as record:
        schedule = WarmupCosine(
            float(record[f"{case}/base"][column]),
            batch_size=256,
            steps_per_epoch=int(record[f"{case}/steps_per_epoch"]),
            epochs=int(record[f"{case}/epochs"]),
            warmup_epochs=int(record[f"{case}/warmup_epochs"]),
            warmup_start=float(record[f"{case}/warmup_start"]),
            final_scale=float(record[f"{case}/minimum"]),
        )
        rates = [float(schedule(int(step))) for step in record[f"{case}/step"]]
        # float32 keeps 6e-8 of the rate; the arithmetic before it is float64.
        np.testing.assert_allclose(rates, record[f"{case}/rate"][:, column], rtol=1e-6, atol=1e-12)
    assert WarmupCosine.from_config(schedule.get_config()).get_config() == schedule.get_config()


def test_last_steps_of_a_long_run_keep_their_digits():
    schedule = WarmupCosine(0.2, batch_size=2048, steps_per_epoch=626, epochs=1000, final_scale=0.0)
    total, warmup = 626_000, 6_260
    # The same half cosine as a squared sine of the steps that are left, which has no cancellation.
    left = np.array([1.0, 10.0, 1000.0])
    expected = 1.6 * np.sin(np.pi / 2 * left / (total - warmup)) ** 2
    # 1 + cos cancels all but 1e-5 of float64's digits one step before the end: 1e-16 / 6e-12.
    np.testing.assert_allclose([float(schedule(total - int(k))) for k in left], expected, rtol=5e-5)


def test_shape_of_the_curve():
    schedule = WarmupCosine(0.1, batch_size=512, steps_per_epoch=10, epochs=20, warmup_epochs=5, final_scale=0.01)
    rates = np.array([float(schedule(step)) for step in range(0, 201)])
    assert rates[0] == 0.0
    assert np.argmax(rates) == 50
    assert rates[50] == pytest.approx(0.2)
    assert np.all(np.diff(rates[:51]) > 0)
    assert np.all(np.diff(rates[50:]) < 0)
    assert rates[200] == pytest.approx(0.002)
    assert float(schedule(10_000)) == rates[200]


def test_no_warmup_starts_at_the_peak():
    schedule = WarmupCosine(0.1, batch_size=256, steps_per_epoch=10, epochs=2, warmup_epochs=0)
    assert float(schedule(0)) == pytest.approx(0.1)


def test_takes_variables_and_compiles():
    schedule = WarmupCosine(0.2, batch_size=256, steps_per_epoch=7, epochs=12)
    step = tf.Variable(33, dtype=tf.int64)
    assert schedule(step).dtype == tf.float32
    compiled = tf.function(lambda: schedule(step), jit_compile=True)()
    # Another compiler may round the last bit of the cosine.
    assert float(compiled) == pytest.approx(float(schedule(33)), rel=1e-6)


def test_configuration_makes_the_same_schedule():
    schedule = WarmupCosine(0.2, batch_size=64, steps_per_epoch=7, epochs=30, warmup_epochs=2.5, final_scale=0.1)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert again.get_config() == schedule.get_config()
    assert float(again(100)) == float(schedule(100))


@pytest.mark.parametrize(
    "change",
    [
        {"base_rate": 0.0},
        {"batch_size": 0},
        {"steps_per_epoch": 0},
        {"epochs": 0},
        {"warmup_epochs": 12},
        {"warmup_epochs": -1},
        {"warmup_start": -0.1},
        {"final_scale": -1},
        {"first_step": -1},
    ],
)
def test_arguments_out_of_range_are_errors(change):
    arguments = {"base_rate": 0.2, "batch_size": 8, "steps_per_epoch": 4, "epochs": 12} | change
    with pytest.raises(ValueError, match="Invalid .* received .* expected"):
        WarmupCosine(arguments.pop("base_rate"), **arguments)
