"""Runs with every kind of view at once: turned, with local ones, and mixed; resumed and on two replicas."""

import importlib

import numpy as np
import pytest
import tensorflow as tf

from barlowtf import experiment
from barlowtf.config import load_recipe
from barlowtf.encoders.building import build_model
from barlowtf.experiment.training_data import first_views, make_batches, open_training_data
from barlowtf.models import checkpoint
from barlowtf.records import read_lines
from barlowtf.report.pictures import event_pictures
from barlowtf.runs import RunFolder
from barlowtf.train import callbacks

# Keras writes .keras files with an array method that NumPy 2 warns about.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

MODULE = importlib.import_module("barlowtf.experiment.pretrain")  # The package shows the function of this name.
SETTINGS = [
    "augment.size=12",
    "augment.border=reflect",
    "augment.gain=0.1",
    "augment.offset=0.05",
    "augment.view_a.vertical_flip=0.5",
    "augment.view_b.turn=1.0",
    "augment.local.count=2",
    "augment.local.size=8",
    "augment.local.area=[0.3, 0.6]",
    "model.encoder=resnet10_w0p0625",
    "model.projector=[16, 16]",
    "loss.name=mixed_barlow_twins",
    "train.batch_size=400",
    "train.epochs=1",
    "optimizer.warmup_epochs=0",
    "monitor.every_steps=1",
    "monitor.knn_every_epochs=none",
    "monitor.collapse_every_epochs=1",
    "checkpoint.every_steps=2",
]


def pretrain(folder):
    info = experiment.pretrain(experiment.PretrainRequest(load_recipe("digits", SETTINGS), folder))
    return info, [record for record in read_lines(folder / "metrics.jsonl") if "loss" in record]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "unbroken"
    return folder, *pretrain(folder)


def test_batches_of_a_recipe_make_its_views():
    recipe = load_recipe("digits", SETTINGS)
    source = open_training_data(recipe)
    model = build_model(recipe, steps_per_epoch=3)
    batch = next(make_batches(recipe, source, tf.distribute.get_strategy(), 0, 1))
    assert [view.shape for view in model.augment(batch)] == [(400, 12, 12, 1), (400, 12, 12, 1), (800, 8, 8, 1)]
    shown = first_views(recipe, source, 20)
    assert [views.shape for views in shown] == [(20, 12, 12, 1), (20, 12, 12, 1), (2, 20, 8, 8, 1)]
    assert np.all(np.isfinite(shown[2]))


@pytest.mark.slow
def test_a_run_with_all_views_measures_them(unbroken):
    folder, info, steps = unbroken
    assert info.status == "finished" and info.loss_terms == ("invariance", "redundancy", "mixture")
    assert len(steps) == 3
    for record in steps:
        weight = 0.0051 * (record["redundancy"] + record["mixture"])
        assert record["loss"] == pytest.approx(record["invariance"] + weight, rel=1e-5)
    pictures = event_pictures(folder / "tensorboard", ("view_pairs", "local_views"))
    assert pictures.keys() == {"view_pairs", "local_views"}
    assert load_recipe(folder / "recipe.toml").loss.settings == {"lambd": 0.0051, "form": "auto", "mix": 1.0}


def weights(folder):
    reader = tf.train.load_checkpoint(str(checkpoint.list_checkpoints(RunFolder(folder).checkpoints)[-1] / "state"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if name[0] != "_"}


@pytest.mark.slow
def test_a_stopped_run_equals_the_unbroken_one_bit_for_bit(unbroken, tmp_path, monkeypatch):
    class Stop(Exception):
        """Stands for whatever ends a process."""

    original = callbacks.StepMetrics.on_train_batch_end

    def stop(self, batch, logs=None):
        if int(logs["step"]) > 2:
            raise Stop
        original(self, batch, logs)

    monkeypatch.setattr(callbacks.StepMetrics, "on_train_batch_end", stop)
    with pytest.raises(Stop):
        pretrain(tmp_path / "run")
    monkeypatch.undo()
    pretrain(tmp_path / "run")
    resumed, whole = weights(tmp_path / "run"), weights(unbroken[0])
    assert resumed.keys() == whole.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(resumed[name], value, err_msg=name)


@pytest.mark.slow
def test_two_replicas_take_the_steps_of_one(unbroken, two_replicas, monkeypatch, tmp_path):
    # The one that all tests share: the collectives of two strategies of one process take each other's keys.
    monkeypatch.setattr(MODULE, "make_strategy", lambda *_: two_replicas)
    _, steps = pretrain(tmp_path / "run")
    for key in ("loss", "mixture"):
        # float32 sums over two halves, multiplied by the network from step to step.
        received, expected = ([record[key] for record in records[:2]] for records in (steps, unbroken[2]))
        np.testing.assert_allclose(received, expected, rtol=1e-3)
