"""Real processes that are interrupted: by signals, by `kill -9` at random moments, by a disk that is full."""

import os
import random
import re
import resource
import signal
import subprocess
import time
from pathlib import Path

import pytest

from barlowtf import runs
from barlowtf.models import checkpoint
from benchmarks import kills

pytestmark = pytest.mark.slow

ENDLESS = ["--set", "train.epochs=100000", "--set", "monitor.knn_every_epochs=none"]
# Decides nothing but when a test that hangs is given up: the machine may be busy with other things.
PATIENCE = 300


@pytest.fixture(autouse=True)
def small_encoder(monkeypatch):
    """A ResNet-10: what a process does before its first step is mostly tracing that step."""
    monkeypatch.setitem(kills.SETTINGS, "model.encoder", "resnet10_w0p0625")


@pytest.fixture
def start():
    """Function (run, options of Popen): starts the endless run; when the test ends, so does it."""
    started = []

    def call(run, **options):
        environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
        started.append(subprocess.Popen([*kills.command(run.path), *ENDLESS], **pipes, **options))
        return started[-1]

    yield call
    for process in started:
        process.kill()
        process.communicate()


def wait_until(process, happened):
    """Returns when it has happened; the process must not end before."""
    until = time.monotonic() + PATIENCE
    while not happened():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_run_killed_twice_at_random_ends_in_the_weights_of_the_unbroken_one(tmp_path):
    """More of it: make kills."""
    result = kills.kill_and_compare(tmp_path, kills=2, seed=int(time.time()))
    assert result["kills"] == 2, result
    assert set(result["values_that_differ"]) == {0}, result


def test_a_signal_saves_the_step_and_a_full_disk_keeps_the_save(tmp_path, start):
    run = runs.RunFolder(tmp_path / "run")
    process = start(run)
    wait_until(process, lambda: checkpoint.list_checkpoints(run.checkpoints))
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert "SIGTERM: finishing the step and saving" in errors
    step = int(re.search(r"Stopped by \w+ after step (\d+) of", errors)[1])
    assert checkpoint.list_checkpoints(run.checkpoints)[-1].name == f"step-{step:08d}"
    assert run.read_info().status == "interrupted"
    assert "Traceback" not in errors

    # The same command on a disk that takes no file of more than 100 kB: resumes, cannot save, says so.
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    process = start(run, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit)))
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, errors
    assert f"after step {step} of" in errors
    assert re.search(r"^Error: Cannot .*(File too large|checkpoint of step).*resume", errors, flags=re.MULTILINE), (
        errors
    )
    assert "Traceback" not in errors
    last = checkpoint.list_checkpoints(run.checkpoints)[-1]
    assert last.name == f"step-{step:08d}"
    assert checkpoint.find_fault(last) is None


def test_a_signal_before_the_first_step_ends_at_once(tmp_path, start):
    """While TensorFlow starts and images are read, wherever it comes: nothing is to be saved."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        pytest.skip("SIGINT is ignored here, as in a script's background job, until barlowtf asks for it")
    process = start(runs.RunFolder(tmp_path / "run"))
    wait_until(process, lambda: "libtensorflow" in Path(f"/proc/{process.pid}/maps").read_text())
    time.sleep(random.uniform(0.0, 2.5))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGINT, errors
    assert "Traceback" not in errors
