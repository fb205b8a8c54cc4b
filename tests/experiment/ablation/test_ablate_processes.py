"""Grids and searches of real runs: killed in the middle and gone on with, they leave the table of the unbroken ones."""

import json
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow

# Seconds until a test that hangs is given up.
PATIENCE = 900
GRID = """
title = "Two weights"
[axes]
"loss.lambd" = [0.0051, 0.1]
"""
SETTINGS = (
    *("model.encoder=resnet10_w0p0625", "model.projector=[16]", "augment.size=8", "optimizer.warmup_epochs=0"),
    *("train.epochs=6", "checkpoint.every_steps=5"),
)


def run(*words):
    settings = [word for text in SETTINGS for word in ("--set", text)]
    return [sys.executable, "-m", "barlowtf", *map(str, words), *settings]


def is_saved(out):
    """Whether a run under a folder has saved a step."""
    return any(path.name.startswith("step-") for path in out.rglob("checkpoints/*"))


def kill_once_saved(command, out):
    """Starts a command and kills it, as the system does when memory is short, once one of its runs has saved."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + PATIENCE
    while not is_saved(out):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert process.returncode == -9


def result_of(command):
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def logs(out):
    return "".join(path.read_text() for path in out.rglob("*.log"))


def test_a_killed_grid_goes_on_to_the_same_table(tmp_path):
    (tmp_path / "grid.toml").write_text(GRID)
    words = ("ablate", tmp_path / "grid.toml", "--jobs", 2, "--protocol", "knn", "--out")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    expected = result_of(run(*words, whole))
    kill_once_saved(run(*words, killed), killed)
    # Its runs end with it, and the next call waits for them.
    found = result_of(run(*words, killed))
    scores = [[(each["seed"], each["status"], each["scores"]) for each in row["runs"]] for row in found["rows"]]
    assert scores == [[(each["seed"], "finished", each["scores"]) for each in row["runs"]] for row in expected["rows"]]
    assert "Resuming" in logs(killed)


def test_a_killed_search_goes_on_to_the_same_table(tmp_path):
    words = ("tune", "--trials", 2, "--search", "loss.lambd=0.001:0.1:log", "--out")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    expected = result_of(run(*words, whole))
    kill_once_saved(run(*words, killed), killed)
    found = result_of(run(*words, killed))
    assert (found["trials"], found["best"]) == (expected["trials"], expected["best"])
    assert "Resuming" in logs(killed)
