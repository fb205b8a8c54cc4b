"""Which epoch is the best, and that its state is kept through resumes."""

import json
import math

import keras
import pytest
import tensorflow as tf

from barlowtf.models.checkpoint import list_checkpoints, step_of
from barlowtf.train import callbacks, loop
from barlowtf.train.best import CRITERIA, Best, find_best


@pytest.mark.parametrize(
    ("measure", "key", "values", "best"),
    [
        ("knn", "knn_top1", [0.9, 0.2, 0.5, 0.5], Best(2, 0.5)),  # Not the one before the first step.
        ("alpha", "alpha", [1.0, 0.5, 1.2, 0.9], Best(3, 0.9)),
        ("rankme", "rankme", [9.0, math.nan, None, 2.0], Best(3, 2.0)),
        ("lidar", "lidar", [9.0, None, None, None], None),
    ],
)
def test_the_best_epoch_is_the_first_with_the_best_value(measure, key, values, best):
    records = [{"step": step, **({} if value is None else {key: value})} for step, value in enumerate(values)]
    assert find_best(records, CRITERIA[measure]) == best


class Model(keras.Model):
    checked_names = ["loss"]

    def __init__(self):
        super().__init__()
        self.weight = self.add_weight(shape=(), initializer="zeros")
        self.compile(optimizer=keras.optimizers.SGD(1.0))
        self.optimizer.build(self.trainable_variables)

    def training_logs(self, batch):
        self.optimizer.apply([-tf.ones(())], self.trainable_variables)
        return {"loss": batch, "first_nonfinite": tf.constant(-1.0)}


class Measured(callbacks.Monitor):
    values = [0.1, 0.4, 0.3, 0.6, 0.5, 0.2]

    def on_epoch_end(self, epoch, logs=None):
        self.recorder.add({"knn_top1": self.values[epoch]})


def train(folder, start, stop):
    """Trains from one step to another, an epoch each; the weight is the number of the step."""
    model, recorder = Model(), callbacks.Recorder()
    model.weight.assign(start)
    save = callbacks.SaveCheckpoints(folder / "checkpoints", every_steps=1, every_minutes=None, keep=9)
    metrics = folder / "metrics.jsonl"
    best = callbacks.KeepBest(folder / "best", recorder, save, criterion=CRITERIA["knn"], metrics=metrics)
    watchers = [recorder, Measured(recorder), callbacks.JsonLines(metrics, recorder), best, save]
    step = loop.compile_step(model, tf.distribute.get_strategy(), xla=False)
    batches = iter([tf.constant(1.0)] * (stop - start))
    options = {"start_step": start, "total_steps": stop, "steps_per_epoch": 1}
    loop.train(model, step, batches, **options, callbacks=callbacks.in_order(watchers))


def kept(folder):
    (path,) = list_checkpoints(folder / "best")
    assert tf.train.load_variable(str(path / "state"), "values/weight-0/.ATTRIBUTES/VARIABLE_VALUE") == step_of(path)
    return step_of(path)


def test_the_best_state_is_kept_and_a_resumed_run_goes_on_from_it(tmp_path):
    train(tmp_path, 0, 3)
    assert kept(tmp_path) == 2
    train(tmp_path, 3, 6)
    assert kept(tmp_path) == 4
    assert len(list_checkpoints(tmp_path / "checkpoints")) == 6


def test_the_best_of_steps_that_are_taken_again_is_forgotten(tmp_path):
    train(tmp_path, 0, 5)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    # Killed after step 5, and resumed from step 3.
    (tmp_path / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines[:3]))
    train(tmp_path, 3, 4)
    assert kept(tmp_path) == 4


@pytest.mark.parametrize("more", [0, 2])
def test_a_best_that_was_measured_and_not_saved_is_saved_on_resume(tmp_path, more):
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 4, "knn_top1": 0.6}) + "\n")
    train(tmp_path, 4, 4 + more)
    assert kept(tmp_path) == 4
