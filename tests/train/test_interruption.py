"""Signals, the noted and the raised; saving in the background; a full disk."""

import resource
import signal
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.errors import CheckpointError, Interrupted
from barlowtf.models.checkpoint import find_fault, list_checkpoints, restore_state, training_state
from barlowtf.optim import LARS
from barlowtf.train import callbacks
from barlowtf.train import saver as saver_module
from barlowtf.train.interruption import Interruption
from barlowtf.train.saver import BackgroundSaver


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_outside_the_steps_a_signal_ends_the_run_at_once(number):
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=f"Stopped at once by {number.name}") as caught, Interruption().listening():
        signal.raise_signal(number)
    assert caught.value.signal_number == number
    assert signal.getsignal(number) is before


def test_inside_the_steps_the_first_is_noted_and_the_second_raises(caplog):
    with Interruption().listening() as interruption:
        with interruption.finishing_steps():
            assert not interruption.requested()
            signal.raise_signal(signal.SIGTERM)
            assert interruption.received is signal.SIGTERM
            assert "SIGTERM: finishing the step and saving" in caplog.text
            with pytest.raises(Interrupted) as caught:
                signal.raise_signal(signal.SIGINT)
            assert caught.value.signal_number == signal.SIGINT
        assert interruption.received is signal.SIGTERM


def test_another_thread_cannot_listen_and_trains_all_the_same():
    entered = []

    def work():
        with Interruption().listening() as interruption:
            entered.append(interruption.requested())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert entered == [False]


def small_model(value=0.0, width=4):
    model = keras.Sequential([keras.Input((width,)), keras.layers.Dense(3)])
    model.compile(optimizer=LARS(0.1))
    model.optimizer.build(model.trainable_variables)
    for variable in model.variables:
        variable.assign(tf.fill(variable.shape, value))
    return model


def test_the_run_stops_after_the_step_in_which_it_was_asked():
    asked = []
    stop = callbacks.StopOnRequest(lambda: bool(asked))
    stop.set_model(small_model())
    stop.model.stop_training = False
    stop.on_train_batch_end(0, {"step": 1})
    assert not stop.model.stop_training
    asked.append(1)
    stop.on_train_batch_end(1, {"step": 2})
    assert stop.model.stop_training


def test_workers_stop_when_any_of_them_was_asked():
    request = tf.Variable(0.0)
    stop = callbacks.StopOnRequest(lambda: True, request)
    stop.set_model(small_model())
    stop.model.stop_training = False
    stop.on_train_batch_begin(0)
    assert request.numpy() == 1.0
    logs = {"step": 1, "stop_requests": 0.0}
    # Asked, but the others have not heard of it yet: that takes a step.
    stop.on_train_batch_end(0, logs)
    stop.on_epoch_end(0, {"step": 1})
    assert not stop.model.stop_training
    assert "stop_requests" not in logs
    stop.on_train_batch_end(1, {"step": 2, "stop_requests": 1.0})
    assert stop.model.stop_training


def test_a_save_in_the_background_holds_the_state_of_its_step(tmp_path, monkeypatch):
    """The thread writes only after the next step has changed everything."""
    go, original = threading.Event(), saver_module.save_state

    def late(*arguments, **options):
        assert go.wait(timeout=300)
        go.clear()
        return original(*arguments, **options)

    monkeypatch.setattr(saver_module, "save_state", late)
    model = small_model(1.0)
    saver = BackgroundSaver(tmp_path, model, keep=2)
    for step in (1, 2, 3):
        model.variables[0].assign(tf.fill((4, 3), float(step)))
        saver.start(step)
        # What training does meanwhile; LARS updates weights and momentum in place.
        model.optimizer.apply([tf.ones(v.shape) for v in model.trainable_variables], model.trainable_variables)
        go.set()
    saver.finish()
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000002", "step-00000003"]
    again = small_model()
    assert restore_state(tmp_path, training_state(again)) == 3
    np.testing.assert_array_equal(again.variables[0], np.full((4, 3), 3.0))
    # Two steps were taken before the third save, one after it.
    assert again.optimizer.iterations.numpy() == 2


def test_many_short_trainings_draw_no_warning_of_retracing(tmp_path, monkeypatch):
    """An evaluation trains one head after the other, each saved once."""
    warned, model = [], small_model(1.0)
    monkeypatch.setattr(tf.get_logger(), "warning", lambda text, *rest: warned.append(text % rest))
    for number in range(8):
        saver = BackgroundSaver(tmp_path / str(number), model, keep=1)
        saver.start(1)
        saver.finish()
    assert not warned


class LimitedFiles:
    """No file may grow beyond so many bytes: what a full disk does to a real write, without a disk to fill."""

    def __init__(self, size):
        self.size = size

    def __enter__(self):
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.before[1]))

    def __exit__(self, *_):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


def test_a_save_that_fails_is_told_at_the_next_step_and_keeps_the_one_before(tmp_path):
    model = small_model(1.0, width=20_000)
    callback = callbacks.SaveCheckpoints(tmp_path, every_steps=1, every_minutes=None, keep=3)
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_train_batch_end(0, {"step": 1, "steps": 1})
    callback.saver.finish()
    with LimitedFiles(100_000):
        callback.on_train_batch_end(1, {"step": 2, "steps": 1})
        callback.saver._thread.join()
        with pytest.raises(
            CheckpointError, match="Cannot save the checkpoint of step 2 .*Earlier checkpoints are kept"
        ):
            callback.on_train_batch_end(2, {"step": 3, "steps": 1})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000001"]
    assert find_fault(tmp_path / "step-00000001") is None


def test_closing_after_another_error_only_logs(tmp_path, caplog):
    saver = BackgroundSaver(tmp_path, small_model(1.0, width=20_000), keep=1)
    with LimitedFiles(100_000):
        saver.start(1)
        saver.close()
    assert "Cannot save the checkpoint of step 1" in caplog.text
