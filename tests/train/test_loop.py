"""The loop calls callbacks as `fit` does, and the callbacks that stand on their own."""

import io
import logging

import keras
import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from barlowtf.errors import TrainingError
from barlowtf.records import read_lines
from barlowtf.train import callbacks, loop


class Listener(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.events = []

    def on_train_begin(self, logs=None):
        self.events.append("begin")

    def on_train_end(self, logs=None):
        self.events.append(("end", logs["step"]))

    def on_epoch_begin(self, epoch, logs=None):
        self.events.append(f"epoch {epoch}")

    def on_epoch_end(self, epoch, logs=None):
        self.events.append(f"end of epoch {epoch}")

    def on_train_batch_end(self, batch, logs=None):
        self.events.append((batch, logs["step"], logs["loss"]))


class Stub(keras.Model):
    """A model of one weight whose loss is the batch."""

    checked_names = ["images of view a", "loss"]
    loss_terms = ("invariance", "redundancy")

    def __init__(self):
        super().__init__()
        self.weight = self.add_weight(shape=(), initializer="ones")
        self.compile(optimizer=keras.optimizers.SGD(0.5))
        self.optimizer.build(self.trainable_variables)

    def training_logs(self, batch):
        self.optimizer.apply([tf.ones(())], self.trainable_variables)
        bad = tf.where(tf.math.is_finite(batch), -1.0, 1.0)
        return {"loss": batch, "invariance": batch, "redundancy": batch, "first_nonfinite": bad}


def run(values, watchers, *, start=0, steps_per_epoch=2):
    model = Stub()
    step = loop.compile_step(model, tf.distribute.get_strategy(), xla=False)
    batches = iter([tf.constant(value, tf.float32) for value in values])
    total = start + len(values)
    done = loop.train(
        model, step, batches, start_step=start, total_steps=total, steps_per_epoch=steps_per_epoch, callbacks=watchers
    )
    return model, done


def test_steps_run_where_sums_of_pairs_are_kept():
    """See `barlowtf.train.pairs`: steps whose gradients are joined again depend on the threads."""
    seen = []
    options = tf.config.optimizer.get_experimental_options
    watcher = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(options().get("arithmetic_optimization", True))
    )
    run([5.0, 6.0], [watcher])
    assert seen == [False, False]


def test_callbacks_hear_what_fit_tells_them():
    listener = Listener()
    _, done = run([5.0, 6.0, 7.0], [listener])
    assert done == 3
    assert listener.events == [
        "begin",
        "epoch 0",
        (0, 1, 5.0),
        (1, 2, 6.0),
        "end of epoch 0",
        "epoch 1",
        (0, 3, 7.0),
        ("end", 3),
    ]


def test_a_resumed_run_goes_on_inside_its_epoch():
    listener = Listener()
    run([8.0, 9.0], [listener], start=3)
    assert listener.events == ["begin", (1, 4, 8.0), "end of epoch 1", "epoch 2", (0, 5, 9.0), ("end", 5)]


def test_stop_training_ends_the_run_after_the_step():
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = True

    _, done = run([1.0, 2.0], [Stop()])
    assert done == 1


def test_a_step_that_is_not_finite_stops_the_run_and_is_not_saved(tmp_path):
    saver = callbacks.SaveCheckpoints(tmp_path, every_steps=1, every_minutes=None, keep=9)
    with pytest.raises(TrainingError, match="Step 3 is not finite: .* is loss"):
        run([1.0, 2.0, np.nan, 3.0], [saver])
    saver.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000001", "step-00000002"]


def test_metrics_are_completed_and_written(tmp_path):
    recorder = callbacks.Recorder()
    metrics = callbacks.StepMetrics(
        recorder,
        every_steps=2,
        batch_size=10,
        steps_per_epoch=2,
        total_steps=5,
        loss_terms=("invariance",),
        embedding_width=4,
    )
    watchers = callbacks.in_order(
        [
            recorder,
            metrics,
            callbacks.JsonLines(tmp_path / "m", recorder),
            callbacks.TensorBoardWriter(
                tmp_path, recorder, recipe="[train]", settings={"train.epochs": 2, "model.projector": (2, 2)}
            ),
        ]
    )
    run([4.0, 8.0, 9.0, 12.0, 12.0], watchers)
    watchers[-1].close()
    records = read_lines(tmp_path / "m")
    # The first step is written without a speed: it holds the tracing.
    # The last one counts, too, whatever the interval.
    assert [record["step"] for record in records] == [1, 2, 4, 5]
    assert "steps" not in records[1]
    assert "images_per_second" not in records[0]
    assert records[1]["images_per_second"] > 0
    assert records[2]["loss_per_dimension"] == 3.0
    assert records[2]["invariance_per_dimension"] == 3.0
    assert "redundancy_per_dimension" not in records[2]
    assert records[2]["learning_rate"] == 0.5
    assert records[2]["weight_norm"] == 1.0  # 1 - 4 * 0.5
    assert records[2]["epoch"] == 2.0
    assert "first_nonfinite" not in records[2]
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0}).Reload()
    tags = events.Tags()["tensors"]
    assert {"loss/loss", "loss/invariance", "rate/learning_rate", "speed/images_per_second", "recipe"} <= set(tags)
    assert [event.step for event in events.Tensors("loss/loss")] == [1, 2, 4, 5]


def test_saves_fall_on_their_steps_and_on_the_last(tmp_path):
    run([1.0] * 5, [callbacks.SaveCheckpoints(tmp_path, every_steps=2, every_minutes=None, keep=9)])
    assert sorted(path.name[-1] for path in tmp_path.iterdir()) == ["2", "4", "5"]


def test_saves_fall_on_their_minutes(tmp_path, monkeypatch):
    clock = iter(range(0, 10_000, 40))  # 40 s a look
    monkeypatch.setattr("barlowtf.train.callbacks.checkpoint.time.monotonic", lambda: next(clock))
    run([1.0] * 4, [callbacks.SaveCheckpoints(tmp_path, every_steps=None, every_minutes=1.0, keep=9)])
    assert [path.name[-1] for path in sorted(tmp_path.iterdir())] == ["2", "4"]


def test_progress_on_a_terminal_and_elsewhere(caplog):
    caplog.set_level(logging.INFO, "barlowtf")
    for terminal in (True, False):
        screen, recorder = io.StringIO(), callbacks.Recorder()
        console = Console(file=screen, force_terminal=terminal, width=100)
        progress = callbacks.Progress(recorder, total_steps=2, console=console)
        run([3.0, 4.0], [recorder, progress])
        progress.close()
        if terminal:
            assert "2/2" in screen.getvalue()
            assert "loss 4" in screen.getvalue()
        else:
            assert screen.getvalue() == ""
    assert "step 2/2  loss 4" in caplog.text and "0:00:00 left" in caplog.text


def test_the_first_step_says_nothing_about_the_time_left(caplog, monkeypatch):
    caplog.set_level("INFO", "barlowtf")
    now = iter([0.0, 100.0, 110.0, 110.0, 120.0])
    monkeypatch.setattr(callbacks.progress.time, "monotonic", lambda: next(now, 120.0))
    recorder = callbacks.Recorder()
    progress = callbacks.Progress(recorder, total_steps=4, console=Console(file=io.StringIO()), line_seconds=0.0)
    run([3.0, 4.0, 5.0, 6.0], [recorder, progress])
    first, *rest = [line for line in caplog.messages if "loss" in line]
    assert first == "step 1/4  loss 3"
    assert all(line.endswith(" left") for line in rest)


def test_view_grid_shows_the_images_as_they_were_before_normalization():
    from barlowtf.train.callbacks.collapse import view_grid

    images = np.random.default_rng(0).uniform(size=(3, 4, 5, 3))
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    normalized = (images - mean) / std
    grid = view_grid([normalized, normalized[::-1]], mean=mean, std=std)
    assert grid.shape == (8, 15, 3)
    np.testing.assert_array_equal(grid[:4, 5:10], np.uint8(np.round(255 * images[1])))
    np.testing.assert_array_equal(grid[4:, 10:], np.uint8(np.round(255 * images[0])))


def measuring(recorder, tmp_path):
    stop = callbacks.StopOnRequest(lambda: False)
    write = callbacks.JsonLines(tmp_path / "m", recorder)
    save = callbacks.SaveCheckpoints(tmp_path / "saves", every_steps=1, every_minutes=None, keep=1)
    return stop, callbacks.Monitor(recorder), write, save


def test_order_is_checked_where_the_list_is_made(tmp_path):
    recorder, users = callbacks.Recorder(), keras.callbacks.LambdaCallback()
    stop, monitor, write, save = measuring(recorder, tmp_path)
    right = [stop, users, recorder, monitor, users, write, save]
    assert callbacks.in_order(right) == right
    assert callbacks.in_order([save]) == [save]
    expected = "expected StopOnRequest, Recorder, Monitor, Writer, SaveCheckpoints"
    for wrong, words in [
        ([recorder, write, monitor], "received JsonLines before Monitor"),
        ([recorder, monitor, stop], "received Monitor before StopOnRequest"),
        ([monitor, recorder], "uses a recorder that is not in the list|received Monitor before Recorder"),
        ([recorder, save, write], "received SaveCheckpoints before JsonLines"),
        ([save, users], "received SaveCheckpoints before LambdaCallback"),
    ]:
        with pytest.raises(ValueError, match=f"Invalid order of callbacks: (?:{words})") as caught:
            callbacks.in_order(wrong)
        assert expected in str(caught.value)
    with pytest.raises(ValueError, match="JsonLines uses a recorder that is not in the list"):
        callbacks.in_order([callbacks.Recorder(), write])


def test_each_point_of_a_run_is_recorded_alone(tmp_path):
    """Before the first step, after a step and after an epoch: nothing of one is written with the next."""

    class Before(callbacks.Monitor):
        def on_train_begin(self, logs):
            self.recorder.add({"begin": 1})

    class Step(callbacks.Monitor):
        def on_train_batch_end(self, batch, logs):
            if logs["step"] == 2:
                self.recorder.add({"loss": logs["loss"]})

    class Epoch(callbacks.Monitor):
        def on_epoch_end(self, epoch, logs):
            self.recorder.add({"epoch": epoch})

    recorder, listener = callbacks.Recorder(), Listener()
    monitors = [Before(recorder), Step(recorder), Epoch(recorder)]
    run([4.0, 8.0, 9.0], [recorder, *monitors, callbacks.JsonLines(tmp_path / "m", recorder), listener])
    records = [(record.pop("step"), record) for record in read_lines(tmp_path / "m")]
    assert records == [(0, {"begin": 1}), (2, {"loss": 8.0}), (2, {"epoch": 0})]


def test_callbacks_of_users_see_the_logs_of_an_ordinary_step():
    seen = []
    run([4.0], [keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(set(logs)))])
    assert seen == [{"loss", "invariance", "redundancy", "step", "steps", "waited"}]
