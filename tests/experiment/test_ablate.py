"""A grid of runs: its plan, what is started, what goes on, and what is told of it. The processes are stand-ins here."""

import importlib
import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from barlowtf_cli.main import main
from click.testing import CliRunner

from barlowtf import experiment, runs
from barlowtf.config import load_recipe
from barlowtf.errors import CheckpointError, ConfigError, DataError, Interrupted
from barlowtf.experiment import AblateRequest, ablate, ablation_plan, run_lock
from barlowtf.experiment.ablation_recipes import Scope, cell_recipe
from barlowtf.launching import EndedJob
from barlowtf.records import AblationPlan, AblationRecord, RunResult, read_record, write_record, write_result
from tests.result_records import make_result, make_run_info

# The package gives the name of this module to the function.
command = importlib.import_module("barlowtf.experiment.ablate")
GRID = """
title = "Two weights"
measure = "the paper's"
[[cells]]
name = "small"
set = { "loss.lambd" = 0.001 }
published = 70.0
[[cells]]
name = "large"
set = { "loss.lambd" = 0.1 }
"""
SCORES = {"small": 0.9, "large": 0.8}


def leave_run(folder, name, seed, protocols=("knn", "linear-fast")):
    """What the processes of a run leave."""
    result = RunResult(knn_top1_before=0.1, knn_top1=0.5, loss=2.0, images_per_second_median=1.0)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "encoder.keras").touch()
    write_record(folder / "run.json", make_run_info(result=result, wall_seconds=3.0))
    (folder / "metrics.jsonl").write_text(json.dumps({"step": 5, "knn_top1": 0.5}) + "\n")
    (folder / "results").mkdir(exist_ok=True)
    for protocol in protocols:
        write_result(
            folder / "results" / f"{protocol}.json",
            make_result(protocol=protocol, subset=None, top1=SCORES.get(name, 0.7) + 0.01 * seed),
        )


@pytest.fixture
def grid(tmp_path):
    file = tmp_path / "grid.toml"
    file.write_text(GRID)
    return file


@pytest.fixture
def timed(monkeypatch):
    """Steps of a twentieth of a second; returns the batches that were timed."""
    batches = []

    def time_step(recipe, source, strategy, steps_per_epoch):
        batches.append(recipe.train.batch_size)
        return 0.05

    monkeypatch.setattr(ablation_plan, "time_step", time_step)
    return batches


@pytest.fixture
def processes(monkeypatch):
    """Stands for the processes; returns what was started: names, and commands without the program."""
    started = []

    def run_jobs(jobs, *, slots, ended, environment):
        for job in jobs:
            name, seed = job.name.rsplit(", seed ", 1)
            started.append((job.name, [words[3:] for words in job.commands]))
            leave_run(Path(job.commands[-1][job.commands[-1].index("--encoder") + 1]), name, int(seed))
            ended(EndedJob(job, 0, 30.0))

    monkeypatch.setattr(command, "run_jobs", run_jobs)
    return started


def request(grid, tmp_path, **changes):
    return replace(AblateRequest(str(grid), "digits", tmp_path / "out", seeds=(0, 1)), **changes)


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


def test_another_grid_is_refused_with_what_differs(grid, tmp_path, timed, processes):
    ablate(request(grid, tmp_path))
    for changes, message in (
        ({"base": "cifar10", "overrides": ("data.source=digits", "data.channels=3")}, "base digits -> cifar10"),
        ({"budget": "1h"}, "budget none -> 1 h"),
        ({"overrides": ("optimizer.learning_rate=0.1",)}, "its cells or a setting of the base recipe"),
    ):
        with pytest.raises(ConfigError, match="holds another grid") as caught:
            ablate(request(grid, tmp_path, **changes))
        assert message in str(caught.value)
    grid.write_text(GRID.replace("0.001", "0.002"))
    with pytest.raises(ConfigError, match="its cells or a setting"):
        ablate(request(grid, tmp_path))


@pytest.mark.parametrize("equal", ["epochs", "time"])
def test_a_budget_sets_the_epochs(grid, tmp_path, monkeypatch, equal):
    grid.write_text(
        GRID.replace("title =", f'equal = "{equal}"\ntitle =').replace('"loss.lambd" = 0.1', '"train.batch_size" = 32')
    )
    # The small batch has twice the steps and takes as long for each.
    monkeypatch.setattr(ablation_plan, "time_step", lambda *_: 0.05)
    out = request(grid, tmp_path, budget="30m", jobs=2, dry_run=True)
    plan = ablate(out).plan
    usable = 2 * 1800 - 4 * 60
    per_epoch = [22 * 0.05, 44 * 0.05]
    expected = (
        [int(usable / 4 / each) for each in per_epoch] if equal == "time" else [int(usable / 2 / sum(per_epoch))] * 2
    )
    assert [cell.epochs for cell in plan.cells] == expected
    assert plan.seconds == pytest.approx(1800, rel=0.02)
    assert not (tmp_path / "out").exists()
    recipe = cell_recipe(
        Scope(command.load_grid(grid), "g", "digits", (), (0,), (), 1800.0, 1),
        command.load_grid(grid).every_cell()[0],
        epochs=expected[0],
    )
    base = load_recipe("digits")
    # The warm-up is the same share of the run.
    share = base.optimizer.warmup_epochs / base.train.epochs
    assert recipe.optimizer.warmup_epochs / recipe.train.epochs == pytest.approx(share, rel=1e-2)


def test_a_budget_that_is_too_short_says_what_it_takes(grid, tmp_path, timed):
    for equal in ("epochs", "time"):
        grid.write_text(f'equal = "{equal}"\n{GRID}')
        with pytest.raises(ConfigError, match="expected at least 4 min for one epoch of each of 4 runs"):
            ablate(request(grid, tmp_path, budget="241s"))
        with pytest.raises(ConfigError, match="expected more than 4 min: 4 runs"):
            ablate(request(grid, tmp_path, budget="3m"))
    assert len(timed) == 2, "what cannot be is refused before anything is timed"
    with pytest.raises(ConfigError, match="train.epochs is set, too"):
        ablate(request(grid, tmp_path, budget="3h", overrides=("train.epochs=50",)))


def test_what_does_not_fit_is_refused_before_anything_is_written(grid, tmp_path, timed, monkeypatch):
    cases = (
        (GRID.replace("loss.lambd", "loss.lambda"), ConfigError, "Cell 'small' of .*loss.lambda"),
        (GRID.replace('"loss.lambd" = 0.1', '"train.batch_size" = 4096'), DataError, "4096"),
        (GRID.replace('"loss.lambd" = 0.1', '"model.encoder" = "resnet7"'), ConfigError, "Cell 'large' of .*resnet7"),
    )
    for text, kind, message in cases:
        grid.write_text(text)
        with pytest.raises(kind, match=message):
            ablate(request(grid, tmp_path))
    grid.write_text(GRID)
    monkeypatch.setattr(ablation_plan, "step_memory", lambda *_: 1e15)
    with pytest.raises(ConfigError, match="each of 3 jobs may take .* Set --jobs 1"):
        ablate(request(grid, tmp_path, jobs=3))
    assert not (tmp_path / "out").exists()


def test_a_folder_of_somebody_else_is_left_alone(grid, tmp_path, timed):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").touch()
    with pytest.raises(ConfigError, match=r"holds no ablation\.json"):
        ablate(request(grid, tmp_path))
    (tmp_path / "out" / "ablation.json").write_text("{}")
    with pytest.raises(CheckpointError, match="not a valid AblationPlan.*Or delete it"):
        ablate(request(grid, tmp_path))


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


def test_a_plan_that_is_lost_is_made_anew(grid, tmp_path, timed, processes):
    before = ablate(request(grid, tmp_path))
    processes.clear()
    (tmp_path / "out" / "ablation.json").unlink()
    assert ablate(request(grid, tmp_path)).rows == before.rows
    assert not processes


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


def test_paper_scale_is_not_other_scale():
    recipe = load_recipe("imagenet-300ep")
    assert not ablation_plan._is_other_scale(recipe, [300, 300])
    assert ablation_plan._is_other_scale(recipe, [300, 30])
    assert ablation_plan._is_other_scale(load_recipe("digits"), [300])


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


def test_plan_is_printed(grid, tmp_path, timed, caplog):
    plan = ablate(request(grid, tmp_path, dry_run=True, jobs=2)).plan
    lines = ablation_plan.explain_plan(plan)
    assert lines[2].startswith("cells       2 x 2 seeds = 4 runs of ")
    assert "2 runs at a time" in lines[-1]
    assert isinstance(plan, AblationPlan)
