"""The run folder: same recipe or none, one process, whole files."""

import multiprocessing
import re
import socket

import pytest

from barlowtf import runs
from barlowtf.config import load_recipe
from barlowtf.errors import CheckpointError
from barlowtf.records import append_line, read_lines, write_record
from tests.result_records import make_run_info


@pytest.fixture
def recipe():
    return load_recipe("digits")


def test_a_new_folder_holds_the_resolved_recipe(tmp_path, recipe):
    run = runs.open_run(tmp_path / "a" / "b", recipe)
    assert load_recipe(run.recipe) == recipe
    assert runs.open_run(run.path, recipe) == run
    # A folder that somebody has made, or locked, is as good as none.
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".lock").touch()
    assert runs.open_run(tmp_path / "empty", recipe).recipe.exists()
    assert not run.finished


def test_a_folder_of_something_else_is_left_alone(tmp_path, recipe):
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="not a run folder"):
        runs.open_run(tmp_path, recipe)
    with pytest.raises(CheckpointError, match="is a file"):
        runs.open_run(tmp_path / "holiday.jpg", recipe)
    with pytest.raises(CheckpointError, match=r"Cannot make the run folder .*holiday\.jpg/run: Not a directory"):
        runs.open_run(tmp_path / "holiday.jpg" / "run", recipe)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def _hold(path, ready, done):
    with runs.locked(path):
        ready.set()
        done.wait(300)


def test_one_process_trains_in_a_folder(tmp_path, recipe):
    run = runs.open_run(tmp_path / "run", recipe)
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(run.path, ready, done))
    process.start()
    try:
        assert ready.wait(300)
        named = f"Another process uses .*: process {process.pid} on {re.escape(socket.gethostname())}. Wait for it"
        with pytest.raises(CheckpointError, match=named), runs.locked(run.path):
            pass
    finally:
        done.set()
        process.join()
    with runs.locked(run.path):
        pass
    assert sorted(path.name for path in run.path.iterdir() if path.name != ".lock") == ["recipe.toml"]


def test_running_without_a_process_is_killed(tmp_path, recipe):
    run = runs.open_run(tmp_path / "run", recipe)
    write_record(run.info, make_run_info(status="running"))
    assert run.status == "killed"
    with runs.locked(run.path):
        assert run.status == "running"
    assert run.status == "killed"


def test_metrics_after_the_resumed_step_are_forgotten(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for step in (0, 5, 10, 15):
        append_line(path, {"step": step, "loss": 1.0 / (step + 1)})
    with open(path, "a") as file:
        file.write('{"step": 16, "lo')
    runs.forget_after(path, 10)
    assert [record["step"] for record in read_lines(path)] == [0, 5, 10]


def test_a_damaged_line_inside_the_metrics_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"st\n{"step": 2}\n')
    with pytest.raises(CheckpointError, match="line 2"):
        read_lines(path)


def test_finished_needs_encoder_and_status(tmp_path, recipe):
    run = runs.open_run(tmp_path / "run", recipe)
    run.encoder.write_bytes(b"")
    assert not run.finished
    assert run.status == "not started"
    write_record(run.info, make_run_info(status="interrupted"))
    assert not run.finished
    write_record(run.info, make_run_info(status="finished"))
    assert run.finished
    assert run.read_info() == make_run_info(status="finished")


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('"status": "finished"', '"status": "done"', "run.json is not a valid RunInfo: status: .*received 'done'"),
        ('"total": 10', '"total": "10"', "run.json is not a valid RunInfo: steps.total: .*received '10'"),
        ('"parameters": 5', '"weights": 5', "run.json is not a valid RunInfo: parameters: field required"),
        ('"finished"', "finished", "run.json is not a valid RunInfo: invalid JSON"),
    ],
)
def test_a_damaged_run_json_is_one_line_that_names_file_and_field(tmp_path, recipe, before, after, words):
    run = runs.open_run(tmp_path / "run", recipe)
    write_record(run.info, make_run_info(status="finished"))
    run.info.write_text(run.info.read_text().replace(before, after))
    with pytest.raises(CheckpointError, match=words) as caught:
        _ = run.status
    assert "\n" not in str(caught.value)
    run.info.write_bytes(b"\xff")
    with pytest.raises(CheckpointError, match="run.json: it is not UTF-8 text"):
        _ = run.status


def test_a_lock_is_never_made_through_a_link(tmp_path):
    target = tmp_path / "precious"
    target.write_text("keep")
    (tmp_path / ".lock").symlink_to(target)
    with pytest.raises(CheckpointError, match="symbolic link"), runs.locked(tmp_path):
        pass
    assert target.read_text() == "keep"


def test_what_lies_where(tmp_path):
    run = runs.RunFolder(tmp_path)
    names = ("recipe.toml", "run.json", "metrics.jsonl", "encoder.keras", "checkpoints")
    assert (run.recipe, run.info, run.metrics, run.encoder, run.checkpoints) == tuple(tmp_path / name for name in names)
