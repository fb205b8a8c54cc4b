"""The loop calls callbacks as `fit` does, and the callbacks that stand on their own."""

import io
import logging

import keras
import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from barlowtf.errors import TrainingError
from barlowtf.records import read_lines
from barlowtf.train import callbacks, loop


class Recorder(keras.callbacks.Callback):
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


def test_callbacks_hear_what_fit_tells_them():
    recorder = Recorder()
    _, done = run([5.0, 6.0, 7.0], [recorder])
    assert done == 3
    assert recorder.events == [
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
    recorder = Recorder()
    run([8.0, 9.0], [recorder], start=3)
    assert recorder.events == ["begin", (1, 4, 8.0), "end of epoch 1", "epoch 2", (0, 5, 9.0), ("end", 5)]


def test_stop_training_ends_the_run_after_the_step():
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = True

    _, done = run([1.0, 2.0], [Stop()])
    assert done == 1


def test_a_step_that_is_not_finite_stops_the_run_and_is_not_saved(tmp_path):
    saver = callbacks.SaveCheckpoints(tmp_path, every_steps=1, every_minutes=None, keep=9)
    with pytest.raises(TrainingError, match="Step 3 is not finite: .* is loss"):
        run([1.0, 2.0, np.nan, 3.0], [callbacks.StopOnNonFinite(), saver])
    saver.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000001", "step-00000002"]


def test_metrics_are_completed_and_written(tmp_path):
    metrics = callbacks.StepMetrics(every_steps=2, batch_size=10, steps_per_epoch=2, embedding_width=4)
    watchers = [
        callbacks.StopOnNonFinite(),
        metrics,
        callbacks.JsonLines(tmp_path / "m"),
        callbacks.TensorBoardWriter(tmp_path),
    ]
    run([4.0, 8.0, 9.0, 12.0], watchers)
    watchers[-1].close()
    records = read_lines(tmp_path / "m")
    # The first step is written without a speed: it holds the tracing.
    assert [record["step"] for record in records] == [1, 2, 4]
    assert "images_per_second" not in records[0]
    assert records[1]["images_per_second"] > 0
    assert records[2]["loss_per_dimension"] == 3.0
    assert records[2]["learning_rate"] == 0.5
    assert records[2]["weight_norm"] == 1.0  # 1 - 4 * 0.5
    assert records[2]["epoch"] == 2.0
    assert "first_nonfinite" not in records[2]
    assert any(path.name.startswith("events") for path in tmp_path.iterdir())


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
        screen = io.StringIO()
        progress = callbacks.Progress(total_steps=2, console=Console(file=screen, force_terminal=terminal, width=100))
        run([3.0, 4.0], [progress])
        progress.close()
        if terminal:
            assert "2/2" in screen.getvalue()
            assert "loss 4" in screen.getvalue()
        else:
            assert screen.getvalue() == ""
    assert "step 2/2  loss 4" in caplog.text


def test_view_grid_shows_the_images_as_they_were_before_normalization():
    from barlowtf.train.callbacks.collapse import view_grid

    images = np.random.default_rng(0).uniform(size=(3, 4, 5, 3))
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    normalized = (images - mean) / std
    grid = view_grid(normalized, normalized[::-1], mean=mean, std=std)
    assert grid.shape == (8, 15, 3)
    np.testing.assert_array_equal(grid[:4, 5:10], np.uint8(np.round(255 * images[1])))
    np.testing.assert_array_equal(grid[4:, 10:], np.uint8(np.round(255 * images[0])))
