"""The run folder: same recipe or none, one process, whole files."""

import json
import multiprocessing
import stat

import pytest

from barlowtf import runs
from barlowtf.config import load_recipe
from barlowtf.errors import CheckpointError


@pytest.fixture
def recipe():
    return load_recipe("digits")


def test_a_new_folder_holds_the_resolved_recipe(tmp_path, recipe):
    run = runs.open_run(tmp_path / "a" / "b", recipe)
    assert load_recipe(run.recipe) == recipe
    assert runs.open_run(run.path, recipe) == run
    assert not run.finished


def test_another_recipe_is_refused_with_the_keys_that_differ(tmp_path, recipe):
    run = runs.open_run(tmp_path / "run", recipe)
    before = run.recipe.read_bytes()
    other = load_recipe("digits", ["train.epochs=7", "loss.lambd=0.1"])
    with pytest.raises(CheckpointError) as caught:
        runs.open_run(run.path, other)
    assert "train.epochs: 40 -> 7" in str(caught.value)
    assert "loss.lambd: 0.0051 -> 0.1" in str(caught.value)
    assert run.recipe.read_bytes() == before


def test_a_folder_of_something_else_is_left_alone(tmp_path, recipe):
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="not a run folder"):
        runs.open_run(tmp_path, recipe)
    with pytest.raises(CheckpointError, match="is a file"):
        runs.open_run(tmp_path / "holiday.jpg", recipe)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def _hold(path, ready, done):
    with runs.locked(runs.RunFolder(path)):
        ready.set()
        done.wait(30)


def test_one_process_trains_in_a_folder(tmp_path, recipe):
    run = runs.open_run(tmp_path / "run", recipe)
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(run.path, ready, done))
    process.start()
    try:
        assert ready.wait(30)
        with pytest.raises(CheckpointError, match="Another process"), runs.locked(run):
            pass
    finally:
        done.set()
        process.join()
    with runs.locked(run):
        pass


def test_atomic_write_keeps_the_old_file_when_it_fails(tmp_path):
    path = tmp_path / "file"
    runs.write_atomic(path, "old")
    with pytest.raises(TypeError):
        runs.write_atomic(path, 3)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert stat.S_IMODE(path.stat().st_mode) & stat.S_IRUSR


def test_metrics_after_the_resumed_step_are_forgotten(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for step in (0, 5, 10, 15):
        runs.append_json_line(path, {"step": step, "loss": 1.0 / (step + 1)})
    with open(path, "a") as file:
        file.write('{"step": 16, "lo')
    runs.forget_after(path, 10)
    assert [record["step"] for record in runs.read_json_lines(path)] == [0, 5, 10]


def test_a_damaged_line_inside_the_metrics_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"st\n{"step": 2}\n')
    with pytest.raises(CheckpointError, match="line 2"):
        runs.read_json_lines(path)


def test_finished_needs_encoder_and_status(tmp_path, recipe):
    run = runs.open_run(tmp_path / "run", recipe)
    run.encoder.write_bytes(b"")
    assert not run.finished
    runs.write_json(run.info, {"status": "finished"})
    assert run.finished
    assert json.loads(run.info.read_text()) == run.read_info()
