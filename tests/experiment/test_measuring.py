"""Runs that are measured by labels from elsewhere, by a probe, and that keep their best epoch."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from barlowtf import experiment, runs
from barlowtf.config import load_recipe
from barlowtf.encoders import load
from barlowtf.encoders.restoring import find_checkpoint
from barlowtf.errors import CheckpointError, ConfigError
from barlowtf.experiment.training_data import FixedViews, first_views, open_labeled, open_training_data
from barlowtf.models import checkpoint
from barlowtf.records import read_lines

# Keras writes .keras files with an array method that NumPy 2 warns about.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SMALL = [
    "augment.size=8",
    "model.encoder=resnet10_w0p0625",
    "model.projector=[16, 16]",
    "train.batch_size=400",
    "train.epochs=2",
    "optimizer.warmup_epochs=1",
    "monitor.every_steps=1",
    "monitor.collapse_every_epochs=1",
    "monitor.knn_every_epochs=1",
    "monitor.knn_bank=300",
    "monitor.knn_queries=100",
]


def pretrain(folder, *settings):
    recipe = load_recipe("digits", [*SMALL, *settings])
    info = experiment.pretrain(experiment.PretrainRequest(recipe, folder))
    return runs.RunFolder(folder), info


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    return pretrain(tmp_path_factory.mktemp("run") / "measured", "monitor.probe=true", "checkpoint.keep_best=lidar")


@pytest.fixture(scope="module")
def unmeasured(tmp_path_factory):
    settings = ("monitor.knn_every_epochs=none", "monitor.collapse_every_epochs=none")
    return pretrain(tmp_path_factory.mktemp("run") / "unmeasured", *settings)


def weights(folder):
    reader = tf.train.load_checkpoint(str(checkpoint.list_checkpoints(folder)[-1] / "state"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if name[0] != "_"}


@pytest.mark.slow
def test_probe_and_monitors_change_no_bit_of_the_run(measured, unmeasured):
    first, second = weights(measured[0].checkpoints), weights(unmeasured[0].checkpoints)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_the_probe_is_measured_with_knn(measured):
    records = [record for record in read_lines(measured[0].metrics) if "probe_top1" in record]
    assert [record["step"] for record in records] == [0, 3, 6]
    assert all("knn_top1" in record and 0.1 < record["probe_top1"] <= 1 for record in records)


def test_the_best_epoch_is_kept_and_can_be_opened(measured):
    run, info = measured
    values = {
        record["step"]: record["lidar"] for record in read_lines(run.metrics) if record["step"] and "lidar" in record
    }
    step = max(values, key=values.get)
    assert (info.result.best.measure, info.result.best.step) == ("lidar", step)
    assert checkpoint.step_of(find_checkpoint(run, "best")) == step
    opened = load(str(run.best_encoder))
    saved = weights(run.best)
    for index, variable in enumerate(opened.model.variables):
        np.testing.assert_array_equal(variable.numpy(), saved[f"values/weight-{index}/.ATTRIBUTES/VARIABLE_VALUE"])
    assert keras.models.load_model(runs.projector_beside(run.best_encoder)).output_shape == (None, 16)


@pytest.mark.slow
def test_a_run_that_keeps_no_best_says_so(unmeasured):
    with pytest.raises(CheckpointError, match=r"no whole checkpoint of its best epoch.*checkpoint\.keep_best"):
        find_checkpoint(unmeasured[0], "best")
    assert unmeasured[1].result.best is None and not unmeasured[0].best_encoder.exists()


def test_fixed_views_are_those_of_the_first_step_whatever_the_batch():
    recipe = load_recipe("digits", [*SMALL, "train.batch_size=64"])
    source = open_training_data(recipe)
    parts = list(FixedViews(recipe, source, 100, pairs=2))
    assert [part.shape for part in parts] == [(4, 64, 8, 8, 1), (4, 36, 8, 8, 1)]
    views = np.concatenate(parts, axis=1)
    for view, first in zip(views, first_views(recipe, source, 100), strict=False):
        # In parts of other sizes: sums in another order.
        np.testing.assert_allclose(view, first, atol=1e-5)
    assert np.abs(views[0] - views[2]).max() > 0.1


@pytest.fixture
def images(tmp_path):
    """Images without labels, and beside them a folder with two classes and no test split."""
    r = np.random.default_rng(0)
    for folder in ("plain", "labeled/dark", "labeled/light"):
        (tmp_path / folder).mkdir(parents=True)
        for number in range(24):
            low = 150 if folder.endswith("light") else 0
            Image.fromarray(r.integers(low, low + 100, (9, 9), np.uint8)).save(tmp_path / folder / f"{number}.png")
    return tmp_path


def of(folder, name):
    return json.dumps(str(folder / name))


@pytest.mark.slow
def test_labels_from_other_images_measure_a_run_on_images_without(images):
    settings = [f"data.source={of(images, 'plain')}", f"monitor.labels={of(images, 'labeled')}"]
    run, info = pretrain(
        images / "run", *settings, "train.batch_size=24", "monitor.probe=true", "monitor.knn_queries=8"
    )
    assert info.data.images == 24
    assert info.result.knn_top1 == 1.0
    assert read_lines(run.metrics)[-1]["probe_top1"] == 1.0


def test_labels_that_are_missing_are_refused(images):
    plain = f"data.source={of(images, 'plain')}"
    recipe = load_recipe("digits", [*SMALL, plain, "checkpoint.keep_best=knn"])
    with pytest.raises(ConfigError, match="received knn, expected a measure without labels"):
        open_labeled(recipe, open_training_data(recipe))
    recipe = load_recipe("digits", [*SMALL, f"monitor.labels={of(images, 'plain')}"])
    with pytest.raises(ConfigError, match=r"monitor\.labels: received .*plain, which has no labels of two classes"):
        open_labeled(recipe, open_training_data(recipe))
    with pytest.raises(ConfigError, match=r"keep_best: received 'probe'.*set monitor\.probe"):
        load_recipe("digits", [*SMALL, "checkpoint.keep_best=probe"])
    with pytest.raises(ConfigError, match=r"keep_best: received 'alpha'.*set monitor\.collapse_every_epochs"):
        load_recipe("digits", [*SMALL, "checkpoint.keep_best=alpha", "monitor.collapse_every_epochs=none"])
