"""A grid of runs: what is started, what goes on, and what is told of it. The processes are stand-ins here."""

import importlib
import json
import signal

import pytest
from barlowtf_cli.main import main
from click.testing import CliRunner

from barlowtf import experiment, runs
from barlowtf.config import load_recipe
from barlowtf.errors import CheckpointError, DataError, Interrupted
from barlowtf.experiment import ablate, run_lock
from barlowtf.launching import EndedJob
from barlowtf.records import AblationRecord, read_record
from tests.experiment.ablation.grids import leave_run, request

# The package gives the name of this module to the function.
command = importlib.import_module("barlowtf.experiment.ablate")


def test_runs_every_cell_and_seed_and_writes_what_came_of_it(grid, tmp_path, timed, processes):
    record = ablate(request(grid, tmp_path))
    assert [name for name, _ in processes] == ["small, seed 0", "large, seed 0", "small, seed 1", "large, seed 1"]
    train, measure = processes[0][1]
    run = tmp_path / "out" / "runs" / "small" / "seed-0"
    assert train == ("pretrain", "--config", str(tmp_path / "out/recipes/small-seed-0.toml"), "--run-dir", str(run))
    expected = ("evaluate", "--encoder", str(run), "--data", "digits", "--protocol", "knn", "--protocol", "linear-fast")
    assert measure == expected
    recipe = load_recipe(tmp_path / "out/recipes/large-seed-1.toml")
    assert (recipe.loss.settings["lambd"], recipe.train.seed, recipe.train.epochs) == (
        0.1,
        1,
        load_recipe("digits").train.epochs,
    )
    assert [row.scores("knn").values for row in record.rows] == [(0.9, 0.91), (0.8, 0.81)]
    assert read_record(tmp_path / "out" / "results.json", AblationRecord).rows == record.rows
    assert "| small | 90.0, 91.0 | 90.0, 91.0 | 70.0 |" in (tmp_path / "out" / "table.md").read_text()
    assert "small" in (tmp_path / "out" / "index.html").read_text()
    # One kind of step: the weight of a term costs nothing.
    assert timed == [64]


def test_the_same_call_goes_on_and_does_not_repeat(grid, tmp_path, timed, processes):
    ablate(request(grid, tmp_path, seeds=(0,)))
    processes.clear()
    leave_run(tmp_path / "out/runs/large/seed-1", "large", 1, protocols=("knn",))
    record = ablate(request(grid, tmp_path))
    assert [name for name, _ in processes] == ["small, seed 1", "large, seed 1"]
    # It has been trained, and lacks one measurement.
    assert processes[1][1] == [
        (
            "evaluate",
            "--encoder",
            str(tmp_path / "out/runs/large/seed-1"),
            "--data",
            "digits",
            "--protocol",
            "linear-fast",
        )
    ]
    assert record.counts == {"finished": 4, "failed": 0, "missing": 0}
    assert timed == [64], "the plan has the times of its steps"
    processes.clear()
    ablate(request(grid, tmp_path))
    assert not processes


def test_a_failed_run_is_named_and_does_not_end_the_others(grid, tmp_path, timed, monkeypatch):
    def run_jobs(jobs, *, slots, ended, environment):
        for job in jobs:
            job.log.write_text("Timing\nError: The loss is not finite after step 3.\n\n")
            ended(EndedJob(job, 1, 1.0))

    monkeypatch.setattr(command, "run_jobs", run_jobs)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["ablate", str(grid), "--out", "out"])
    assert done.exit_code == 1
    assert "Failed: large, seed 0: The loss is not finite after step 3." in done.stdout
    assert "Too few cells" in done.stdout


def test_a_killed_run_is_told_as_killed(grid, tmp_path, timed, monkeypatch):
    def run_jobs(jobs, *, slots, ended, environment):
        jobs[0].log.write_text("29 of 1437 images are left out.\n")
        ended(EndedJob(jobs[0], 137, 1.0))

    monkeypatch.setattr(command, "run_jobs", run_jobs)
    record = ablate(request(grid, tmp_path))
    assert record.rows[0].runs[0].reason == "killed by SIGKILL, as the system does when memory is short."
    assert record.counts == {"finished": 0, "failed": 1, "missing": 3}


def test_a_damaged_run_is_named_and_the_others_are_told(grid, tmp_path, timed, processes):
    ablate(request(grid, tmp_path, seeds=(0,)))
    (tmp_path / "out/runs/small/seed-0/run.json").write_text("{}")
    summary = experiment.report(experiment.ReportRequest([tmp_path / "out"], tmp_path / "page.html"))
    assert [run.status for run in summary.runs] == ["missing", "finished"]
    processes.clear()
    # Its next start says what is wrong.
    ablate(request(grid, tmp_path, seeds=(0,)))
    assert [name for name, _ in processes] == ["small, seed 0"]


def test_a_signal_ends_it_with_what_is_there(grid, tmp_path, timed, monkeypatch):
    monkeypatch.setattr(command, "run_jobs", lambda *_, **__: signal.SIGTERM)
    with pytest.raises(Interrupted, match="Stopped by SIGTERM, saved. The same command goes on."):
        ablate(request(grid, tmp_path))
    assert read_record(tmp_path / "out" / "results.json", AblationRecord).counts["missing"] == 4


def test_waits_for_the_run_of_a_killed_call(grid, tmp_path, timed, processes, monkeypatch):
    ablate(request(grid, tmp_path))
    monkeypatch.setattr(run_lock, "_PATIENCE_SECONDS", 0.1)
    with runs.locked(tmp_path / "out/runs/small/seed-0"), pytest.raises(CheckpointError, match="Another process uses"):
        ablate(request(grid, tmp_path))


def test_labels_without_a_test_split_are_held_out(grid, tmp_path, timed, processes, photographs):
    train = photographs / "train"
    overrides = (f"data.source={json.dumps(str(train))}", "train.batch_size=8", "data.channels=3")
    record = ablate(request(grid, tmp_path, overrides=overrides))
    measure = processes[0][1][-1]
    assert measure[-2:] == ("--holdout", "0.2")
    assert record.plan.held_out == 0.2
    unlabeled = (f"data.source={json.dumps(str(train / 'dark'))}", "train.batch_size=8", "data.channels=3")
    with pytest.raises(DataError, match="no labels"):
        ablate(request(grid, tmp_path / "other", overrides=unlabeled))


def test_report_of_a_grid(grid, tmp_path, timed, processes):
    ablate(request(grid, tmp_path))
    summary = experiment.report(experiment.ReportRequest([tmp_path / "out"], tmp_path / "page.html"))
    assert [run.name for run in summary.runs] == ["small, seed 0", "small, seed 1", "large, seed 0", "large, seed 1"]
    page = (tmp_path / "page.html").read_text()
    assert summary.bytes == len(page.encode())
    assert "Two weights" in page


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["tabel5"], 1, "Unknown grid"),
        (["table6", "--budget", "soon"], 1, "Invalid budget"),
        (["table6", "--seeds", "0,0"], 2, "expected different numbers"),
        (["table6", "--protocol", "knnn"], 2, "knnn"),
        (["table6", "--jobs", "0"], 2, "--jobs"),
        (["table6", "--base", "digitz"], 1, "Unknown recipe"),
        ([], 2, "TABLE"),
    ],
)
def test_wrong_options_are_one_line(words, status, message):
    done = CliRunner().invoke(main, ["ablate", *words])
    assert done.exit_code == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr
