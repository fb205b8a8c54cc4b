"""Pre-training on real images, end to end: the run folder, resume bit for bit, replicas, bad input."""

import importlib
import json
import os
import re
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from barlowtf import experiment, runs
from barlowtf.config import load_recipe
from barlowtf.errors import CheckpointError, ConfigError, DataError, Interrupted, TrainingError
from barlowtf.experiment.pretrain import _log_lost_steps
from barlowtf.models import checkpoint
from barlowtf.records import append_line, read_lines
from barlowtf.train import callbacks

# Keras writes .keras files with an array method that NumPy 2 warns about.
MODULE = importlib.import_module("barlowtf.experiment.pretrain")  # The package shows the function of this name.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

# Digits at 8 pixels through a very thin ResNet: seconds a run, every part of the real thing.
SMALL = [
    "augment.size=8",
    "model.encoder=resnet10_w0p0625",
    "model.projector=[16, 16]",
    "train.batch_size=400",
    "train.epochs=3",
    "optimizer.warmup_epochs=1",
    "monitor.every_steps=1",
    "monitor.knn_every_epochs=2",
    "monitor.collapse_every_epochs=1",
    "monitor.probe=true",
    "checkpoint.every_steps=2",
    "checkpoint.keep=9",
    "checkpoint.keep_best=knn",
]


@pytest.fixture(scope="module")
def recipe():
    return load_recipe("digits", SMALL)


@pytest.fixture(scope="module")
def unbroken(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "unbroken"
    return runs.RunFolder(folder), pretrain(recipe, folder)


def test_the_run_folder_holds_what_a_user_needs(unbroken, recipe):
    run, info = unbroken
    assert load_recipe(run.recipe) == recipe
    assert info.status == "finished"
    assert info == run.read_info()
    assert (info.steps.total, info.steps.per_epoch) == (9, 3)
    assert info.wall_seconds > 0
    assert info.peak_memory_bytes > 0
    assert info.loss_terms == ("invariance", "redundancy")
    assert re.fullmatch("[0-9a-f]{64}", info.data.fingerprint)
    encoder = keras.models.load_model(run.encoder)
    assert encoder(np.zeros((2, 8, 8, 1), np.float32)).shape == (2, 32)
    assert any(run.tensorboard.iterdir())

    records = read_lines(run.metrics)
    steps = [record for record in records if "loss" in record]
    assert [record["step"] for record in steps] == list(range(1, 10))
    for key in ("invariance", "redundancy", "loss_per_dimension", "learning_rate", "gradient_norm", "weight_norm"):
        assert all(np.isfinite(record[key]) for record in steps)
    assert [record["step"] for record in records if "knn_top1" in record] == [0, 6, 9]
    assert [record["step"] for record in records if "effective_rank" in record] == [0, 3, 6, 9]
    features = [record for record in records if "rankme" in record]
    assert [record["step"] for record in features] == [0, 3, 6, 9]
    assert all(1 < record[key] <= 32 for record in features for key in ("rankme", "lidar"))
    assert all(np.isfinite(record["alpha"]) for record in features)
    # kNN of two epochs is no curve.
    assert info.result.verdict.kind == "unclear" and "the start and 2 times after it" in info.result.verdict.sentence
    assert info.result.knn_images == 360 and not info.result.knn_halved
    last = steps[-1]
    assert last["loss"] == pytest.approx(last["invariance"] + recipe.loss.lambd * last["redundancy"], rel=1e-5)


def test_pictures_reach_tensorboard(unbroken):
    run, _ = unbroken
    tags = set()
    for path in run.tensorboard.iterdir():
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            tags |= {value.tag for value in event.summary.value}
    expected = {"view_pairs", "cross_correlation", "loss/loss", "quality/knn_top1", "health/effective_rank", "recipe"}
    assert expected <= tags


def pretrain(recipe, folder, **options):
    return experiment.pretrain(experiment.PretrainRequest(recipe, folder, **options))


def weights(run):
    """Returns every saved value of the newest checkpoint."""
    reader = tf.train.load_checkpoint(str(checkpoint.list_checkpoints(run.checkpoints)[-1] / "state"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if name[0] != "_"}


class Stop(Exception):
    """Stands for whatever ends a process."""


@pytest.mark.slow
def test_a_run_stopped_twice_equals_the_unbroken_one_bit_for_bit(unbroken, recipe, tmp_path, monkeypatch, caplog):
    """Before its first save, and again after step 4."""
    caplog.set_level("INFO", "barlowtf")
    original = callbacks.StepMetrics.on_train_batch_end
    run = runs.RunFolder(tmp_path / "run")
    for stop_after in (1, 4):

        def stop(self, batch, logs=None, stop_after=stop_after):
            if int(logs["step"]) > stop_after:
                raise Stop
            original(self, batch, logs)

        monkeypatch.setattr(callbacks.StepMetrics, "on_train_batch_end", stop)
        with pytest.raises(Stop):
            pretrain(recipe, run.path)
        monkeypatch.undo()
        assert not run.finished
        assert "Resuming" not in caplog.text
    pretrain(recipe, run.path)
    # A run that began again at step 0 would end in the same weights. Saves fall on every second step.
    assert "after step 4 of 9" in caplog.text

    first, second = weights(unbroken[0]), weights(run)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    assert timeless(unbroken[0]) == timeless(run)
    assert all("probe_top1" in record for record in timeless(run) if "knn_top1" in record)
    (best,), (resumed,) = (checkpoint.list_checkpoints(of.best) for of in (unbroken[0], run))
    assert best.name == resumed.name
    assert (best / "manifest.json").read_text() == (resumed / "manifest.json").read_text()


def timeless(run):
    """Returns the metrics without those of time."""
    of_time = ("images_per_second", "input_wait")
    return [{key: value for key, value in record.items() if key not in of_time} for record in read_lines(run.metrics)]


@pytest.mark.slow
def test_a_run_interrupted_at_the_end_of_an_epoch_measures_it_when_resumed(unbroken, recipe, tmp_path, monkeypatch):
    """Steps 6 and 9 end epochs with kNN: the signal does not wait for it, and no measurement is missing in the end."""
    run, requeues = runs.RunFolder(tmp_path / "run"), []
    after_a_step = (callbacks.StepMetrics, "on_train_batch_end", 6)
    while_measuring = (callbacks.KNNMonitor, "on_epoch_end", 9)
    for kind, method, step in (after_a_step, while_measuring):
        original = getattr(kind, method)

        def interrupt(self, *arguments, original=original, step=step, **options):
            if int(options.get("logs", arguments[-1])["step"]) == step:
                os.kill(os.getpid(), signal.SIGUSR1)
            original(self, *arguments, **options)

        monkeypatch.setattr("barlowtf.train.requeue.requeue", lambda: requeues.append(1))
        monkeypatch.setattr(kind, method, interrupt)
        with pytest.raises(Interrupted, match=f"Stopped by SIGUSR1 after step {step} of 9, saved") as caught:
            pretrain(recipe, run.path)
        monkeypatch.undo()
        assert caught.value.signal_number == signal.SIGUSR1
        assert run.read_info().status == "interrupted"
    assert requeues == [1, 1]
    pretrain(recipe, run.path)
    assert timeless(run) == timeless(unbroken[0])
    for name, value in weights(run).items():
        np.testing.assert_array_equal(value, weights(unbroken[0])[name], err_msg=name)


def test_a_finished_run_says_so_and_changes_nothing(unbroken, recipe, caplog):
    run, info = unbroken
    caplog.set_level("INFO", "barlowtf")
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.name != ".lock" and path.is_file()}
    assert pretrain(recipe, run.path) == info
    assert "finished" in caplog.text
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_steps_that_were_not_saved_are_said_to_be_lost(tmp_path, caplog):
    caplog.set_level("INFO", "barlowtf")
    run = runs.RunFolder(tmp_path)
    _log_lost_steps(run, 0)
    append_line(run.metrics, {"step": 40})
    _log_lost_steps(run, 40)
    assert not caplog.records
    _log_lost_steps(run, 0)
    _log_lost_steps(run, 30)
    lines = [record.message for record in caplog.records]
    assert "after step 40 or later with nothing saved: at least 40 steps are lost" in lines[0]
    assert "with step 30 saved: at least 10 steps are lost" in lines[1]


def test_another_recipe_is_refused(unbroken):
    other = load_recipe("digits", [*SMALL, "train.seed=5"])
    with pytest.raises(CheckpointError, match="train.seed: 0 -> 5"):
        pretrain(other, unbroken[0].path)


@pytest.mark.slow
def test_a_run_that_diverges_stops_with_the_last_good_checkpoint(tmp_path):
    wild = load_recipe("digits", [*SMALL, "optimizer.gradient_scale=1e38", "checkpoint.every_steps=1"])
    with pytest.raises(TrainingError, match=r"Step 1 is not finite: the first such tensor is gradient of \w+"):
        pretrain(wild, tmp_path / "run")
    assert not (tmp_path / "run" / "encoder.keras").exists()
    (saved,) = checkpoint.list_checkpoints(tmp_path / "run" / "checkpoints")
    assert checkpoint.step_of(saved) == 0


def test_plan_counts_without_training(recipe, tmp_path):
    plan = experiment.plan(experiment.PretrainRequest(recipe, tmp_path / "run"))
    assert (plan.images, plan.steps_per_epoch, plan.total_steps, plan.unseen_per_epoch) == (1437, 3, 9, 237)
    assert plan.peak_learning_rate == pytest.approx(0.008 * 400 / 256)
    assert all(value > 0 for value in plan.memory_bytes_per_replica.values())
    # AdamW keeps two values for each parameter.
    assert plan.memory_bytes_per_replica["optimizer"] == 2 * plan.memory_bytes_per_replica["weights"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        (["train.batch_size=1438"], DataError, "received 1438, expected at most 1437"),
        (["data.source=missing-folder"], DataError, "missing-folder"),
        (["data.source=nothing:here"], DataError, "tfds:NAME"),
    ],
)
def test_bad_input_leaves_no_run_folder(tmp_path, settings, error, words):
    with pytest.raises(error, match=words):
        pretrain(load_recipe("digits", [*SMALL, *settings]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_batch_that_does_not_divide_over_replicas_is_refused(recipe, two_replicas, monkeypatch, tmp_path):
    monkeypatch.setattr(MODULE, "make_strategy", lambda *_: two_replicas)
    odd = load_recipe("digits", [*SMALL, "train.batch_size=401"])
    with pytest.raises(ConfigError, match="received 401, expected a multiple of 2 replicas"):
        pretrain(odd, tmp_path / "run")


@pytest.mark.slow
def test_flat_color_photographs_with_a_damaged_one_train_without_labels(tmp_path, caplog):
    r = np.random.default_rng(0)
    for number in range(24):
        pixels = r.integers(0, 256, (20 + number, 30, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number:02}.jpg")
    (tmp_path / "07.jpg").write_bytes(b"not a photograph")
    settings = [
        f"data.source={json.dumps(str(tmp_path))}",
        "data.channels=3",
        # One batch is all images, so that the damaged one is in the first.
        "train.batch_size=24",
        "data.max_unreadable=1",
        "checkpoint.keep_best=lidar",
    ]
    info = pretrain(load_recipe("digits", [*SMALL, *settings]), tmp_path / "run")
    assert info.result.knn_top1 is None and info.result.best.measure == "lidar"
    assert "07.jpg" in caplog.text
    with pytest.raises(DataError, match=r"07\.jpg.*max_unreadable"):
        pretrain(load_recipe("digits", [*SMALL, *settings, "data.max_unreadable=0"]), tmp_path / "run2")
