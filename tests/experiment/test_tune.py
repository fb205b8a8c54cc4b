"""A search for settings: its study, which trials stop, what goes on. The processes of the trials are stand-ins here."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from barlowtf_cli.main import main
from click.testing import CliRunner

from barlowtf.config import load_recipe
from barlowtf.config.search_space import Choices, Range
from barlowtf.errors import CheckpointError, ConfigError, Interrupted
from barlowtf.experiment import TuneRequest, trial, tune
from barlowtf.experiment.tuning_study import TuningStudy
from barlowtf.records import TuneRecord, read_record
from barlowtf.runs import RunFolder

SPACE = {"loss.lambd": Range(0.001, 0.1, log=True, whole=False), "model.projector": Choices(("[8]", "[16]"))}
# What a run leaves: a kNN accuracy after each epoch that follows from its settings alone.
RUN = """
import json, sys, tomllib
from pathlib import Path
file, folder, last = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
recipe = tomllib.loads(file.read_text())
score = 0.9 - recipe["loss"]["lambd"]
epochs, every = recipe["train"]["epochs"], recipe["monitor"]["knn_every_epochs"]
folder.mkdir(parents=True, exist_ok=True)
from tests.result_records import make_run_info
from barlowtf.records import RunSteps, write_record
write_record(folder / "run.json", make_run_info(steps=RunSteps(total=2 * epochs, per_epoch=2)))
with open(folder / "metrics.jsonl", "a") as lines:
    for epoch in range(0, min(epochs, last) + 1, every):
        lines.write(json.dumps({"step": 2 * epoch, "knn_top1": score * epoch / epochs}) + "\\n")
sys.exit(0 if last >= epochs else 143)
"""


def open_study(folder, **changes):
    options = {"rungs": (1, 3), "reduction": 3, "seed": 0, "storage": None, "identity": {"recipe": "r"}}
    folder.mkdir(exist_ok=True)
    return TuningStudy(folder, SPACE, **{**options, **changes})


@pytest.fixture
def processes(monkeypatch):
    """Stands for `barlowtf pretrain`; returns the recipes that were started, and how many epochs each takes at most."""
    started, limits = [], {}

    def start_command(command, *, log, environment):
        recipe, folder = command[command.index("--config") + 1], command[command.index("--run-dir") + 1]
        started.append(os.path.basename(folder))
        words = [sys.executable, "-c", RUN, recipe, folder, str(limits.get(len(started), 10**6))]
        return subprocess.Popen(words, stdin=subprocess.PIPE)

    monkeypatch.setattr(trial, "start_command", start_command)
    return started, limits


def request(tmp_path, **changes):
    settings = ("train.epochs=9", "optimizer.warmup_epochs=0")
    search = ("loss.lambd=0.001:0.1:log",)
    return replace(TuneRequest("digits", tmp_path / "out", settings, search, trials=4), **changes)


def test_one_of_three_goes_on_at_a_rung(tmp_path):
    study = open_study(tmp_path)
    asked = [study.ask() for _ in range(6)]
    # The first is never stopped; then those that are not among the best third so far.
    scores = [0.5, 0.4, 0.3, 0.6, 0.45, 0.55]
    stopped = [study.report(each, 1, score) for each, score in zip(asked, scores, strict=True)]
    assert stopped == [False, True, True, False, True, False]
    assert not study.report(asked[1], 2, 0.0), "no rung"
    assert study.report(asked[0], 3, 0.5) is False


def test_draws_follow_from_the_seed_and_the_trials_before(tmp_path):
    first = [open_study(tmp_path / name).ask().settings for name in ("a", "b")]
    assert first[0] == first[1]
    assert open_study(tmp_path / "c", seed=1).ask().settings != first[0]
    study = open_study(tmp_path / "a")
    second = study.ask()
    assert second.settings != first[0]
    assert float(second.settings["loss.lambd"]) <= 0.1
    load_recipe("digits", [f"{key}={value}" for key, value in second.settings.items()])


def test_what_is_interrupted_goes_on_in_its_folder_with_its_settings(tmp_path):
    study = open_study(tmp_path)
    first = study.ask()
    study.report(first, 1, 0.5)
    study.give_back(first)
    assert study.wants_more(1)
    assert len(study.records()) == 1
    again = open_study(tmp_path).ask()
    assert (again.number, again.settings) == (first.number, first.settings)
    study = open_study(tmp_path)
    assert study.record(0).state == "running"
    assert not study.wants_more(1)
    # Its scores before it was interrupted do not count beside those of the trial that took its place.
    assert study.report(again, 1, 0.5) is False
    study.end(again, "finished", 0.7)
    assert [each.state for each in study.records()] == ["finished"]


def test_trials_of_a_killed_process_are_taken_back_and_those_of_others_are_not(tmp_path):
    code = (
        "import sys; from pathlib import Path; from tests.experiment.test_tune import open_study\n"
        "print(dict(open_study(Path(sys.argv[1])).ask().settings))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    own = open_study(tmp_path)
    own.ask()
    assert own.take_back_lost() == [0]
    assert own.take_back_lost() == []
    again = own.ask()
    assert again.number == 0
    assert str(dict(again.settings)) in done.stdout
    assert [each.number for each in own.records()] == [0, 1]


def test_a_torn_last_line_of_the_journal_is_dropped_and_other_damage_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("barlowtf.experiment.tuning_study._SETTLING_SECONDS", 0.0)
    study = open_study(tmp_path)
    study.end(study.ask(), "pruned")
    journal = tmp_path / "study.log"
    content = journal.read_bytes()
    journal.write_bytes(content + b'{"op_code": 5, "wor')
    assert len(open_study(tmp_path).records()) == 1
    assert journal.read_bytes().startswith(content)
    lines = content.splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0], b"nonsense\n", *lines[2:]]))
    with pytest.raises(CheckpointError, match="study.log is damaged: .* Delete it"):
        open_study(tmp_path)


def test_finished_without_a_score_has_failed(tmp_path):
    study = open_study(tmp_path)
    study.end(study.ask(), "finished", None)
    assert study.record(0).state == "failed"
    assert study.best() is None
    second = study.ask()
    study.end(second, "failed", reason="too large")
    assert study.record(1).reason == "too large"


def test_the_first_of_equals_is_the_best(tmp_path):
    study = open_study(tmp_path)
    first, second = study.ask(), study.ask()
    # It goes on later, and keeps its number.
    study.give_back(first)
    for asked in (second, study.ask()):
        study.report(asked, 1, 0.5)
        study.end(asked, "finished", 0.5)
    assert [each.state for each in study.records()] == ["finished"] * 2
    assert study.best().number == 0


def test_search_writes_the_best_recipe(tmp_path, processes):
    record = tune(request(tmp_path))
    assert len(record.trials) == 4
    best = min(record.trials, key=lambda each: float(each.settings["loss.lambd"]))
    assert record.best == best.number
    recipe = load_recipe(tmp_path / "out" / "best.toml")
    assert recipe.loss.settings["lambd"] == float(best.settings["loss.lambd"])
    # Monitors are those of the base again, and the test images are looked at.
    assert recipe.monitor == load_recipe("digits").monitor
    tried = load_recipe(tmp_path / "out" / "trials" / "0000.toml")
    assert (tried.monitor.split, tried.monitor.knn_every_epochs, tried.monitor.collapse_every_epochs) == (
        "train",
        1,
        None,
    )
    assert read_record(tmp_path / "out" / "results.json", TuneRecord) == record
    started, _ = processes
    assert started == ["0000", "0001", "0002", "0003"]
    assert tune(request(tmp_path, trials=5)).trials[:4] == record.trials
    assert started[4:] == ["0004"]


def test_a_failed_trial_is_named(tmp_path, processes):
    _, limits = processes
    limits[1] = 2
    record = tune(request(tmp_path, trials=2))
    assert [each.state for each in record.trials][0] == "failed"
    assert record.best == 1


def test_a_signal_has_the_trial_go_on_with_the_next_call(tmp_path, processes, monkeypatch):
    unbroken = tune(request(tmp_path, out=tmp_path / "unbroken"))
    started, limits = processes
    started.clear()
    limits[2] = 4
    look, stops = tune.__globals__["_look_at"], iter([signal.SIGTERM])

    def interrupted(each, study, received, request):
        if len(started) == 2 and each.process.wait() == 143 and received is None:
            os.kill(os.getpid(), next(stops))
            return False
        return look(each, study, received, request)

    monkeypatch.setitem(tune.__globals__, "_look_at", interrupted)
    with pytest.raises(Interrupted, match="Stopped by SIGTERM"):
        tune(request(tmp_path))
    limits.clear()
    monkeypatch.setitem(tune.__globals__, "_look_at", look)
    record = tune(request(tmp_path))
    assert started == ["0000", "0001", "0001", "0002", "0003"]
    assert record.trials == unbroken.trials


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"measure": "lidar"}, "another measure"),
        ({"search": ("loss.lambd=0.002:0.1:log",)}, "another space"),
        ({"overrides": ("train.epochs=18", "optimizer.warmup_epochs=0")}, "another recipe"),
    ],
)
def test_another_study_is_refused(tmp_path, processes, changes, message):
    tune(request(tmp_path, trials=1))
    with pytest.raises(ConfigError, match=message):
        tune(request(tmp_path, **changes))


def test_what_cannot_be_searched(tmp_path, photographs):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").touch()
    with pytest.raises(ConfigError, match="holds no study"):
        tune(request(tmp_path))
    dark = json.dumps(str(photographs / "train" / "dark"))
    unlabeled = (f"data.source={dark}", "train.batch_size=4", "data.channels=3", "train.epochs=9")
    with pytest.raises(ConfigError, match="has no labels of two classes"):
        tune(request(tmp_path, out=tmp_path / "other", overrides=(*unlabeled, "optimizer.warmup_epochs=0")))
    assert not (tmp_path / "other").exists()


def test_optuna_is_named_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"pip install .barlowtf\[tune\]"):
        tune(request(tmp_path))


def test_scores_are_read_once_and_lines_cut_short_are_left(tmp_path):
    asked = open_study(tmp_path / "study").ask()
    run = RunFolder(tmp_path / "run")
    subprocess.run([sys.executable, "-c", RUN, str(_recipe(tmp_path)), str(run.path), "4"], check=False)
    process = subprocess.Popen([sys.executable, "-c", ""])
    running = trial.RunningTrial(asked, run, process, tmp_path / "log", trial_criterion())
    assert [epoch for epoch, _ in running.new_scores()] == [1, 2, 3, 4]
    assert running.new_scores() == []
    with open(run.metrics, "a") as file:
        file.write('{"step": 10, "knn_to')
    assert running.new_scores() == []
    process.wait()


def _recipe(tmp_path):
    from barlowtf.config import dump_recipe

    file = tmp_path / "recipe.toml"
    settings = ["train.epochs=9", "optimizer.warmup_epochs=0", "monitor.knn_every_epochs=1", "loss.lambd=0.01"]
    file.write_text(dump_recipe(load_recipe("digits", settings)))
    return file


def trial_criterion():
    from barlowtf.train.best import CRITERIA

    return CRITERIA["knn"]


def test_wrong_options_are_one_line():
    for words, status, message in (
        (["--score", "loss"], 2, "--score"),
        (["--budget", "soon"], 1, "Invalid budget"),
        (["--search", "optimizer.lr=1:2"], 1, "no setting"),
        (["--base", "digitz"], 1, "Unknown recipe"),
    ):
        done = CliRunner().invoke(main, ["tune", *words])
        assert done.exit_code == status
        assert message in done.stderr
