"""Steps compiled by XLA, several in a call, and the fallback where XLA cannot."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.config import load_recipe
from barlowtf.encoders.building import build_model
from barlowtf.errors import ConfigError
from barlowtf.experiment import training_data
from barlowtf.train import loop, stepping

SMALL = [
    "augment.size=16",
    "data.channels=3",
    "augment.mean=[0.5]",
    "augment.std=[0.25]",
    "augment.view_a.blur=1.0",
    "augment.view_b.blur=0.5",
    "augment.view_b.solarize=0.5",
    "augment.view_a.grayscale=0.5",
    "augment.hue=0.1",
    "model.encoder=resnet10_w0p0625",
    "model.projector=[16, 16]",
    "train.batch_size=32",
    "optimizer.name=lars",
    "optimizer.learning_rate=0.2",
    "optimizer.bias_learning_rate=0.0048",
]
ONE = tf.distribute.get_strategy()


@pytest.fixture(scope="module")
def recipe():
    return load_recipe("digits", SMALL)


@pytest.fixture(scope="module")
def batches(recipe):
    source = training_data.open_training_data(recipe)
    return list(itertools.islice(training_data.make_batches(recipe, source, ONE, 0, 10), 6))


def trained(recipe, calls, step_of):
    model = build_model(recipe, 10)
    step = step_of(model)
    logs = [step(call) for call in calls]
    return model, [{name: float(value) for name, value in entry.items()} for entry in logs]


@pytest.fixture(scope="module")
def plain(recipe, batches):
    return trained(recipe, batches, lambda model: loop.compile_step(model, ONE, xla=False))


@pytest.mark.slow
def test_the_whole_step_compiles_with_xla(recipe, batches, plain):
    """Augmentations, both views, loss, gradients and LARS, in a loop, as one XLA program: what a TPU needs."""
    calls = [tuple(tensor[tf.newaxis] for tensor in batch) for batch in batches[:2]]
    model, logs = trained(recipe, calls, lambda model: loop.compile_steps(model, ONE, xla=True))
    # Fusions round otherwise; one step of LARS later the difference has grown.
    assert logs[0]["loss"] == pytest.approx(plain[1][0]["loss"], rel=1e-5)
    assert logs[1]["loss"] == pytest.approx(plain[1][1]["loss"], rel=1e-3)
    assert logs[0]["first_nonfinite"] == -1.0
    assert model.optimizer.iterations.numpy() == 2


@pytest.mark.slow
def test_several_steps_in_a_call_are_the_same_steps(recipe, batches, plain):
    grouped = stepping.group_batches(iter(batches), ONE, start_step=1, steps_per_epoch=5, per_call=3)
    # Steps 1-2 (to the multiple of 3), 3-4 (to the end of the epoch); here all six batches from the first.
    calls = [next(grouped), next(grouped)]
    assert [call[0].shape[0] for call in calls] == [2, 2]
    model, logs = trained(recipe, calls, lambda model: loop.compile_steps(model, ONE, xla=False))
    assert int(model.optimizer.iterations.numpy()) == 4
    # The same kernels in the same order.
    assert logs[0]["loss"] == pytest.approx(plain[1][1]["loss"], rel=1e-5)
    assert logs[1]["loss"] == pytest.approx(plain[1][3]["loss"], rel=1e-5)


def test_batches_of_replicas_are_stacked_replica_by_replica(two_replicas):
    def batch(number):
        values = [tf.constant([10.0 * number + replica]) for replica in range(2)]
        return tuple(
            two_replicas.experimental_distribute_values_from_function(
                lambda context, sign=sign: sign * values[context.replica_id_in_sync_group]
            )
            for sign in (1.0, -1.0)
        )

    grouped = stepping.group_batches(
        map(batch, itertools.count(1)), two_replicas, start_step=0, steps_per_epoch=9, per_call=2
    )
    plus, minus = next(grouped)
    np.testing.assert_array_equal([value.numpy() for value in plus.values], [[[10], [20]], [[11], [21]]])
    np.testing.assert_array_equal([value.numpy() for value in minus.values], [[[-10], [-20]], [[-11], [-21]]])


def test_calls_end_at_multiples_and_with_the_epoch():
    taken, step = [], 0
    while step < 14:
        taken.append(loop.steps_of_call(step, 7, 3))
        step += taken[-1]
    assert taken == [3, 3, 1, 3, 3, 1]
    assert loop.steps_of_call(5, 7, 3) == 1


class Stub(keras.Model):
    """A step that counts itself, with or without an operation that XLA does not have."""

    log_names = ("loss", "first_nonfinite")

    def __init__(self, text):
        super().__init__()
        self.text = text
        self.steps = tf.Variable(0)
        self.bad_from = tf.Variable(1e9)

    def training_logs(self, batch):
        self.steps.assign_add(1)
        count = tf.cast(self.steps, tf.float32)
        if self.text:
            count += 0.0 * tf.strings.to_number(tf.strings.as_string(tf.reduce_sum(batch)))
        return {"loss": count, "first_nonfinite": tf.where(count >= self.bad_from, count, -1.0)}


@pytest.mark.parametrize("text", [False, True])
def test_a_step_that_xla_refuses_goes_on_without_and_says_why(text, caplog):
    model = Stub(text)
    step = loop.with_fallback(*(loop.compile_step(model, ONE, xla=xla) for xla in (True, False)))
    assert [float(step(tf.ones(2))["loss"]) for _ in range(3)] == [1.0, 2.0, 3.0]
    # TensorFlow counts the tracings of all tests before this one, and may warn, too.
    assert len([record for record in caplog.records if record.name == "barlowtf"]) == text
    if text:
        assert "XLA cannot compile the training step" in caplog.text
        assert "without XLA" in caplog.text


def test_the_first_bad_step_of_a_call_is_the_one_reported():
    model = Stub(False)
    model.bad_from.assign(2.0)
    logs = loop.compile_steps(model, ONE, xla=False)((tf.ones((4, 2)),))
    assert float(logs["loss"]) == 4.0
    assert float(logs["first_nonfinite"]) == 2.0


def test_xla_is_chosen_for_one_gpu(monkeypatch, two_replicas):
    assert not stepping.xla_pays(ONE, deterministic=False)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["gpu"])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: {"compute_capability": (9, 0)})
    assert stepping.xla_pays(ONE, deterministic=False)
    assert not stepping.xla_pays(two_replicas, deterministic=False)
    assert not stepping.xla_pays(ONE, deterministic=True)


@pytest.mark.parametrize(
    ("details", "pays"),
    [
        ({"compute_capability": (12, 0)}, False),
        ({"compute_capability": (12, 1)}, False),
        ({"compute_capability": (10, 3)}, True),
        ({}, True),
    ],
)
def test_xla_is_off_where_tensorflow_would_abort(monkeypatch, caplog, details, pays):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["gpu"])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details)
    assert stepping.xla_pays(ONE, deterministic=False) is pays
    assert len(caplog.messages) == (not pays)
    if not pays:
        assert caplog.messages[0].startswith(
            "XLA is off: this TensorFlow aborts under XLA on GPUs of compute capability 12."
        )


def test_steps_per_call_and_per_epoch(two_replicas):
    assert stepping.count_steps_per_call(None, two_replicas) == 1
    assert stepping.count_steps_per_call(4, ONE) == 4
    with pytest.raises(ConfigError, match="Invalid steps_per_call: received 4 on 2 replicas, expected one device"):
        stepping.count_steps_per_call(4, two_replicas)
    assert stepping.count_steps_per_epoch(11, batch_size=4, replicas=2, micro_batch=None) == 2
    with pytest.raises(ConfigError, match="received 4, expected a multiple of 3 replicas. Set train.batch_size"):
        stepping.count_steps_per_epoch(11, batch_size=4, replicas=3, micro_batch=None)
    with pytest.raises(ConfigError, match="Invalid micro_batch: received 2 on 2 replicas, expected one device"):
        stepping.count_steps_per_epoch(11, batch_size=4, replicas=2, micro_batch=2)
