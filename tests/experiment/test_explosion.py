"""Numbers that become infinite: the cause is named, the last good state is saved, and --extend goes on from it."""

import pytest

from barlowtf import experiment
from barlowtf.config import load_recipe
from barlowtf.errors import NonFiniteError
from barlowtf.models import checkpoint
from barlowtf.records import read_lines

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SMALL = [
    "augment.size=8",
    "model.encoder=resnet10_w0p0625",
    "model.projector=[16, 16]",
    "train.batch_size=400",
    "train.epochs=4",
    "optimizer.warmup_epochs=1",
    "optimizer.warmup_start=0.0",
    "monitor.every_steps=1",
    "monitor.knn_every_epochs=1",
    "monitor.probe=true",
    "checkpoint.every_minutes=none",
]


@pytest.mark.slow
def test_a_rate_that_is_too_high(tmp_path):
    run = tmp_path / "run"
    with pytest.raises(NonFiniteError) as caught:
        experiment.pretrain(
            experiment.PretrainRequest(load_recipe("digits", [*SMALL, "optimizer.learning_rate=1e30"]), run)
        )
    message = str(caught.value)
    assert "is not finite: the first such tensor is " in message and "Cause: the learning rate, " in message
    assert f"barlowtf pretrain --extend {run} --set optimizer.learning_rate=2.5e+29" in message and "\n" not in message
    *_, saved = checkpoint.list_checkpoints(run / "checkpoints")
    assert f"The state after step {checkpoint.step_of(saved)} is saved" in message
    recipe = experiment.extended_recipe(run, ["optimizer.learning_rate=0.008"])
    info = experiment.pretrain(experiment.PretrainRequest(recipe, tmp_path / "more"))
    assert info.status == "finished" and info.parent.step == checkpoint.step_of(saved)
    assert all(record["loss"] < 100 for record in read_lines(tmp_path / "more" / "metrics.jsonl") if "loss" in record)


def test_images_that_normalization_makes_infinite(tmp_path):
    recipe = load_recipe("digits", [*SMALL, "augment.std=[1e-44]"])
    with pytest.raises(NonFiniteError, match="images of view a. Cause: the data: augment.mean and augment.std"):
        experiment.pretrain(experiment.PretrainRequest(recipe, tmp_path / "run"))
