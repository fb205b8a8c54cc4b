"""A grid of real runs: killed in the middle and gone on with, it leaves the table of the grid that nothing stopped."""

import json
import os
import signal
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
SMALL = ["model.encoder=resnet10_w0p0625", "model.projector=[16]", "augment.size=8", "optimizer.warmup_epochs=0"]


def command(out, grid, *words):
    settings = [word for text in (*SMALL, "train.epochs=6", "checkpoint.every_steps=5") for word in ("--set", text)]
    words = ("--out", str(out), "--jobs", "2", "--protocol", "knn", *settings, *words)
    return [sys.executable, "-m", "barlowtf", "ablate", str(grid), *words]


def scores(out):
    rows = json.loads((out / "results.json").read_text())["rows"]
    return {row["cell"]: [run["scores"] for run in row["runs"]] for row in rows}


def saved_steps(out):
    return [int(path.name.rpartition("-")[2]) for path in out.glob("runs/*/*/checkpoints/*") if path.name[-1].isdigit()]


def wait_until(happened, what, process):
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert process.poll() is None, f"ended with {process.returncode} before {what}"
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_grid_goes_on_to_the_same_table(tmp_path, number):
    grid = tmp_path / "grid.toml"
    grid.write_text(GRID)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    subprocess.run(command(whole, grid), check=True, capture_output=True, timeout=PATIENCE)

    process = subprocess.Popen(command(stopped, grid), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_until(lambda: saved_steps(stopped), "a run has saved a step", process)
    os.kill(process.pid, number)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == (-9 if number == signal.SIGKILL else 143)
    # The runs have ended with it, or end now: the next call waits for them.
    done = subprocess.run(
        command(stopped, grid, "--json"), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    record = json.loads(done.stdout)
    assert [run["status"] for row in record["rows"] for run in row["runs"]] == ["finished"] * 2
    assert scores(stopped) == scores(whole)
    assert "Resuming" in "".join(path.read_text() for path in (stopped / "logs").iterdir())
