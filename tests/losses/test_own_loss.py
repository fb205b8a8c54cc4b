"""A user's loss in a file outside the package: named in a recipe, trained with, seen in the logs."""

import json

import pytest
import tensorflow as tf

from barlowtf import experiment
from barlowtf.config import load_recipe
from barlowtf.encoders.building import build_model
from barlowtf.models import BarlowTwins
from barlowtf.records import read_lines
from tests.examples import example

# Keras writes .keras files with an array method that NumPy 2 warns about.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

OWN = example("my_loss.py")
SMALL = [
    "augment.size=8",
    "model.encoder=resnet10_w0p0625",
    "model.projector=[16, 16]",
    "train.batch_size=400",
    "train.epochs=2",
    "optimizer.warmup_epochs=1",
    "monitor.every_steps=1",
    "monitor.knn_every_epochs=none",
    "monitor.collapse_every_epochs=none",
    "checkpoint.every_steps=2",
]


@pytest.fixture
def settings(tmp_path):
    """Settings of a thin run with the loss of a file."""
    (tmp_path / "my_loss.py").write_text(OWN)
    return [*SMALL, f"loss.name={tmp_path}/my_loss.py:LOSS", "loss.spread=0.5"]


@pytest.mark.slow
def test_a_run_with_it(settings, tmp_path):
    info = experiment.pretrain(experiment.PretrainRequest(load_recipe("digits", settings), tmp_path / "run"))
    assert info.loss_terms == ("closeness", "spread")
    records = [record for record in read_lines(tmp_path / "run" / "metrics.jsonl") if "loss" in record]
    assert len(records) == 6
    for record in records:
        assert record["loss"] == pytest.approx(0.5 * record["spread"] - record["closeness"], rel=1e-4)
        assert {"closeness_per_dimension", "spread_per_dimension", "gradient_norm"} <= record.keys()
    # The saved recipe states every setting, those at their defaults too.
    saved = load_recipe(tmp_path / "run" / "recipe.toml")
    assert saved.loss.settings == {"hidden": 8, "spread": 0.5}


def test_a_model_with_it_is_made_again_from_its_configuration(settings):
    model = build_model(load_recipe("digits", settings), steps_per_epoch=3)
    config = json.loads(json.dumps(model.get_config()))
    again = BarlowTwins.from_config(config)
    assert again.bound_loss == model.bound_loss
    assert len(again.variables) == len(model.variables)
    again.set_weights(model.get_weights())
    images = tf.ones([2, 8, 8, 1])
    assert float(tf.reduce_max(tf.abs(again(images) - model(images)))) == 0.0
