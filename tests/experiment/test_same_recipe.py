"""A recipe in a run folder that holds another one: what may change, what begins anew, and what is refused."""

import logging

import pytest

from barlowtf import experiment, runs
from barlowtf.config import load_recipe
from barlowtf.encoders import load
from barlowtf.errors import CheckpointError
from barlowtf.experiment.same_recipe import note_recipe, require_same_recipe
from barlowtf.records import append_line, read_lines, write_record
from barlowtf.train import callbacks
from tests.result_records import make_run_info

# Three steps an epoch.
SMALL = [
    "augment.size=8",
    "model.encoder=resnet10_w0p0625",
    "model.projector=[16, 16]",
    "train.batch_size=400",
    "train.epochs=2",
    "optimizer.warmup_epochs=0",
    "monitor.every_steps=1",
    "monitor.knn_every_epochs=none",
    "monitor.collapse_every_epochs=none",
]


@pytest.fixture
def run(tmp_path):
    """A run that was stopped before its first save."""
    run = runs.open_run(tmp_path / "run", load_recipe("digits"))
    write_record(run.info, make_run_info(status="running"))
    append_line(run.metrics, {"step": 40, "loss": 1.0})
    run.tensorboard.mkdir()
    (run.tensorboard / "events").write_text("curves")
    return run


def save(run):
    (run.checkpoints / "step-00000200").mkdir(parents=True)


def adopt(run, *overrides):
    recipe = load_recipe("digits", overrides)
    note_recipe(run, recipe, require_same_recipe(run, recipe))


def test_another_recipe_is_refused_with_the_keys_that_differ(run):
    save(run)
    before = run.recipe.read_bytes()
    with pytest.raises(CheckpointError) as caught:
        adopt(run, "train.epochs=7", "loss.lambd=0.1", "monitor.every_steps=5")
    assert "train.epochs: 45 -> 7" in str(caught.value)
    assert "loss.lambd: 0.0051 -> 0.1" in str(caught.value)
    assert "monitor" not in str(caught.value)
    assert run.recipe.read_bytes() == before


def test_settings_that_change_nothing_of_what_is_learned_may_change(run, caplog):
    save(run)
    caplog.set_level(logging.INFO, "barlowtf")
    changed = ["data.max_unreadable=7", "checkpoint.keep=9", "monitor.labels=digits"]
    adopt(run, *changed)
    assert [record.message.partition(", ")[2] for record in caplog.records] == [
        "data.max_unreadable: 100 -> 7.",
        "checkpoint.keep: 2 -> 9.",
        "monitor.labels: None -> digits.",
    ]
    assert load_recipe(run.recipe) == load_recipe("digits", changed)
    assert run.metrics.exists()
    caplog.clear()
    adopt(run, *changed)
    assert not caplog.records


def test_a_finished_run_keeps_its_recipe(run):
    write_record(run.info, make_run_info(status="finished"))
    with pytest.raises(CheckpointError, match="monitor.every_steps: 20 -> 5"):
        adopt(run, "monitor.every_steps=5")


def test_the_images_may_lie_elsewhere(run, caplog):
    save(run)
    adopt(run, "data.source=elsewhere")
    assert load_recipe(run.recipe).data.source == "elsewhere"
    assert not caplog.records


def test_a_run_that_has_saved_nothing_begins_anew_and_its_measurements_stay(run, caplog):
    caplog.set_level(logging.INFO, "barlowtf")
    adopt(run, "train.epochs=7")
    (line,) = [record.message for record in caplog.records]
    assert "has saved nothing and begins anew with another recipe (train.epochs: 45 -> 7)" in line
    earlier = runs.RunFolder(run.path / "earlier-1")
    assert line.endswith(f"is kept in {earlier.path}.")
    assert load_recipe(earlier.recipe) == load_recipe("digits")
    assert (earlier.read_info().status, read_lines(earlier.metrics)[0]["step"]) == ("running", 40)
    assert (earlier.tensorboard / "events").read_text() == "curves"
    assert load_recipe(run.recipe).train.epochs == 7
    assert {path.name for path in run.path.iterdir()} == {"recipe.toml", "earlier-1"}
    # Nothing was recorded since, so nothing is kept.
    adopt(run, "train.epochs=8")
    append_line(run.metrics, {"step": 1})
    adopt(run, "train.epochs=9")
    assert {path.name for path in run.path.iterdir()} == {"recipe.toml", "earlier-1", "earlier-2"}
    assert load_recipe(run.path / "earlier-2" / "recipe.toml").train.epochs == 8


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_run_that_was_ended_before_its_first_save_is_trained_by_another_recipe(tmp_path, monkeypatch):
    class Stop(Exception):
        """Stands for whatever ends a process."""

    def stop(self, batch, logs):
        raise Stop

    def pretrain(*overrides):
        recipe = load_recipe("digits", [*SMALL, *overrides])
        return experiment.pretrain(experiment.PretrainRequest(recipe, tmp_path / "run"))

    with monkeypatch.context() as stopped:
        stopped.setattr(callbacks.StepMetrics, "on_train_batch_end", stop)
        with pytest.raises(Stop):
            pretrain("train.batch_size=700")
    # As if it had been killed.
    before = runs.RunFolder(tmp_path / "run")
    write_record(before.info, before.read_info().model_copy(update={"status": "running"}))
    append_line(before.metrics, {"step": 1})
    assert before.status == "killed"
    with pytest.raises(CheckpointError, match=r"has no encoder.keras yet: it was killed. Resume it"):
        load(str(before.path))
    info = pretrain()
    assert (info.status, info.steps.per_epoch) == ("finished", 3)
    assert [line["step"] for line in read_lines(tmp_path / "run" / "metrics.jsonl")] == [1, 2, 3, 4, 5, 6]
    assert runs.RunFolder(tmp_path / "run" / "earlier-1").read_info().steps.per_epoch == 2
