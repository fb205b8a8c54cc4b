"""Real processes that are interrupted: by signals, by `kill -9` at random moments, by a disk that is full."""

import os
import re
import resource
import signal
import subprocess
import time

import pytest

from barlowtf import runs
from barlowtf.train import checkpoint
from benchmarks.soak import command, soak

ENDLESS = ["--set", "train.epochs=100000", "--set", "monitor.knn_every_epochs=none"]


def start(run, *words, **options):
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.Popen(
        [*command(run.path), *ENDLESS, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )


def wait_for_save(run, beyond=0):
    until = time.monotonic() + 120
    while time.monotonic() < until:
        saved = [int(path.name[-8:]) for path in checkpoint.list_checkpoints(run.checkpoints)]
        if saved and max(saved) > beyond:
            return
        time.sleep(0.02)
    raise AssertionError("no checkpoint came")


def test_a_run_killed_three_times_at_random_ends_in_the_weights_of_the_unbroken_one(tmp_path):
    """More of it: make soak."""
    result = soak(tmp_path, kills=3, seed=int(time.time()))
    assert result["kills"] == 3, result
    assert set(result["values_that_differ"]) == {0}, result


def test_a_signal_saves_the_step_and_a_full_disk_keeps_the_save(tmp_path):
    run = runs.RunFolder(tmp_path / "run")
    process = start(run)
    wait_for_save(run)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert "SIGTERM: finishing the step and saving" in errors
    step = int(re.search(r"Stopped by \w+ after step (\d+) of", errors)[1])
    assert checkpoint.list_checkpoints(run.checkpoints)[-1].name == f"step-{step:08d}"
    assert run.read_info()["status"] == "interrupted"
    assert "Traceback" not in errors

    # The same command on a disk that takes no file of more than 100 kB: resumes, cannot save, says so.
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    process = start(run, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit)))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    assert f"after step {step} of" in errors
    assert re.search(r"^Error: Cannot .*(File too large|checkpoint of step).*resume", errors, flags=re.MULTILINE), (
        errors
    )
    assert "Traceback" not in errors
    last = checkpoint.list_checkpoints(run.checkpoints)[-1]
    assert last.name == f"step-{step:08d}"
    assert checkpoint.find_fault(last) is None


def test_a_signal_before_the_first_step_ends_at_once(tmp_path):
    """While TensorFlow starts and images are read: nothing is to be saved."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        pytest.skip("SIGINT is ignored here, as in a script's background job, until barlowtf asks for it")
    process = start(runs.RunFolder(tmp_path / "run"))
    time.sleep(3.0)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT, errors
    assert "Traceback" not in errors
