"""Two real worker processes over gRPC: another number of replicas, signals, a worker that dies, workers that differ."""

import dataclasses
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from barlowtf import experiment, runs
from barlowtf.config import load_recipe
from barlowtf.distribute import Cluster
from barlowtf.errors import ConfigError, LostWorkerError
from barlowtf.launching import cluster_configs, free_ports
from barlowtf.models import checkpoint
from barlowtf.records import read_lines
from barlowtf.train.requeue import requeue
from barlowtf.train.workers import shared_failures

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SETTINGS = [
    "augment.size=8",
    # Crops and blur instead of the recipe's rotation, behind which the replicas' momenta of these few steps differ by
    # more than the limit below.
    "augment.area=[0.4, 1.0]",
    "augment.rotation=0.0",
    "augment.slant=0.0",
    "augment.shift=0.0",
    "augment.view_a.blur=0.5",
    "augment.view_b.blur=0.1",
    "optimizer.weight_decay=0.0001",
    "model.encoder=resnet10_w0p0625",
    "model.projector=[16, 16]",
    "optimizer.name=lars",
    "optimizer.learning_rate=0.2",
    "optimizer.bias_learning_rate=0.0048",
    "optimizer.warmup_epochs=1",
    "train.batch_size=400",
    "train.epochs=2",
    "monitor.every_steps=1",
    "monitor.knn_every_epochs=none",
    "checkpoint.every_steps=3",
    "checkpoint.keep=9",
]
SET = [word for setting in SETTINGS for word in ("--set", setting)]
ENDLESS = ["train.epochs=10000", "checkpoint.every_steps=5"]
# Decides nothing but when a test that hangs is given up: the machine may be busy with other things.
PATIENCE = 600


@pytest.fixture
def launch():
    """Function (run, *settings, start): starts the launcher of two workers; when the test ends, so do they."""
    started = []

    def call(run, *settings, start=("--config", "digits", *SET)):
        words = [word for setting in settings for word in ("--set", setting)]
        command = [sys.executable, "-m", "barlowtf_cli.start", "launch", "--workers", "2", "--"]
        command += ["pretrain", "--run-dir", str(run.path), *start, *words]
        # Without the setting of the tests, which keeps TensorFlow's own messages.
        environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, env=environment, **pipes))
        return started[-1]

    yield call
    for launcher in started:
        if launcher.poll() is None:
            for worker in workers_of(launcher):
                os.kill(worker, signal.SIGKILL)
            launcher.communicate()


def workers_of(launcher):
    """Returns the process numbers of worker 0 and worker 1."""
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text()
    return sorted(int(number) for number in children.split())


def wait_for_save(launcher, run, beyond=0):
    """Returns the step of the first save after step `beyond` that is seen."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        saved = checkpoint.list_checkpoints(run.checkpoints)
        if saved and int(saved[-1].name[-8:]) > beyond:
            return int(saved[-1].name[-8:])
        assert launcher.poll() is None, launcher.communicate()[1]
        time.sleep(0.05)
    raise AssertionError("no checkpoint came")


def state(run):
    reader = tf.train.load_checkpoint(str(checkpoint.list_checkpoints(run.checkpoints)[-1] / "state"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if name[0] != "_"}


def weights(run):
    return {name: value for name, value in state(run).items() if "weight-" in name}


def largest_difference(first, second):
    def relative(a, b):
        return float(np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-12))

    assert first.keys() == second.keys()
    return max((relative(np.float64(first[name]), np.float64(second[name])), name) for name in first)


@pytest.fixture(scope="module")
def recipe():
    return load_recipe("digits", SETTINGS)


@pytest.fixture(scope="module")
def one_replica(recipe, tmp_path_factory):
    run = runs.RunFolder(tmp_path_factory.mktemp("one") / "run")
    experiment.pretrain(experiment.PretrainRequest(recipe, run.path))
    return run


@pytest.fixture
def half_way(one_replica, tmp_path):
    """The run of one replica as it was after three of its six steps."""
    run = runs.RunFolder(tmp_path / "run")
    shutil.copytree(one_replica.path, run.path)
    shutil.rmtree(run.checkpoints / "step-00000006")
    run.encoder.unlink()
    return run


@pytest.mark.slow
def test_a_run_goes_on_over_two_replicas(one_replica, half_way, recipe, two_replicas, monkeypatch, caplog):
    caplog.set_level("INFO", "barlowtf")
    module = importlib.import_module("barlowtf.experiment.pretrain")  # The package shows the function of this name.
    monkeypatch.setattr(module, "make_strategy", lambda *_: two_replicas)
    request = experiment.PretrainRequest(recipe, half_way.path, strategy="mirrored", replicas=2)
    experiment.pretrain(request)
    assert "after step 3 of 6" in caplog.text
    assert "237 of 1437 images are left out of each epoch" in caplog.text
    assert largest_difference(state(half_way), state(one_replica)) < (1e-4, "")


@pytest.mark.slow
def test_a_run_goes_on_over_two_workers_and_only_the_chief_writes(one_replica, half_way, launch):
    launcher = launch(half_way)
    output, errors = launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode == 0, errors
    assert "after step 3 of 6" in errors
    assert "worker 1" not in errors
    assert output.count("run         ") == 1
    assert largest_difference(state(half_way), state(one_replica)) < (1e-4, "")
    assert half_way.finished
    steps = [record["step"] for record in read_lines(half_way.metrics) if "loss" in record]
    assert steps == [1, 2, 3, 4, 5, 6]
    assert half_way.read_info().replicas == 2


@pytest.mark.slow
@pytest.mark.parametrize("way", ["init", "extend"])
def test_two_workers_start_where_one_process_does(one_replica, launch, tmp_path, way):
    """From the weights of a finished run, or from its whole state: the same values after three more steps."""
    alone, together = (runs.RunFolder(tmp_path / name) for name in ("alone", "together"))
    changes = ["train.epochs=1", "optimizer.warmup_epochs=0"]
    if way == "init":
        start = ("--config", "digits", *SET, "--init", str(one_replica.path))
        from_run = f"model.init={json.dumps(str(one_replica.path))}"
        own = load_recipe("digits", [*SETTINGS, *changes, from_run])
    else:
        start = ("--extend", str(one_replica.path))
        own = experiment.extended_recipe(one_replica.path, changes, run_dir=alone.path)
    experiment.pretrain(experiment.PretrainRequest(own, alone.path))
    launcher = launch(together, *changes, start=start)
    _, errors = launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode == 0, errors
    assert together.finished and together.read_info().replicas == 2
    # Of the weights alone: rounding of a trained encoder's small gradients is 3e-4 of one momentum.
    assert largest_difference(weights(together), weights(alone)) < (1e-4, "")


@pytest.mark.slow
def test_a_signal_to_one_worker_stops_both_and_a_dead_one_is_named(tmp_path, launch):
    run = runs.RunFolder(tmp_path / "run")
    launcher = launch(run, *ENDLESS)
    wait_for_save(launcher, run)
    os.kill(workers_of(launcher)[1], signal.SIGTERM)
    _, errors = launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode == 128 + signal.SIGTERM, errors
    assert "Stopped by SIGTERM after step" in errors
    step = int(errors.partition("Stopped by SIGTERM after step ")[2].split()[0])
    assert checkpoint.list_checkpoints(run.checkpoints)[-1].name == f"step-{step:08d}"
    assert run.read_info().status == "interrupted"

    launcher = launch(run, *ENDLESS)
    saved = wait_for_save(launcher, run, beyond=step)
    os.kill(workers_of(launcher)[1], signal.SIGKILL)
    _, errors = launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode == 1, errors
    assert f"after step {step} of" in errors
    assert "Error: worker 1 (localhost:" in errors
    assert "is lost" in errors
    assert "Traceback" not in errors
    assert checkpoint.find_fault(run.checkpoints / f"step-{saved:08d}") is None


@pytest.mark.slow
def test_workers_that_differ_are_refused(tmp_path):
    """Each worker is started by hand here, with a seed of its own."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "barlowtf_cli.start", "pretrain", "--config", "digits"]
            + ["--strategy", "multiworker", "--run-dir", str(tmp_path / "run"), "--set", f"train.seed={index}"],
            env={**os.environ, "TF_CONFIG": config},
            stderr=subprocess.PIPE,
            text=True,
        )
        for index, config in enumerate(cluster_configs(free_ports(2)))
    ]
    errors = [process.communicate(timeout=PATIENCE)[1] for process in processes]
    assert [process.returncode for process in processes] == [1, 1], errors
    for text in errors:
        assert "Error: worker" in text
        assert "The workers differ in recipe" in text
    assert not (tmp_path / "run").exists()


LEAVING = """
import faulthandler, os, sys

faulthandler.dump_traceback_later(float(sys.argv[1]), exit=True)
from barlowtf.distribute import cluster_of, make_strategy
from barlowtf.train.workers import barrier, require_agreement

strategy = make_strategy("multiworker")
require_agreement(strategy, {"fact": 1})
print("agreed", flush=True)
if cluster_of(strategy).index == 1:
    sys.stdin.read()
    os._exit(0)
barrier(strategy)
"""


@pytest.mark.slow
def test_a_worker_that_leaves_first_is_no_failure():
    """Worker 1 ends when its standard input does: only once the chief, too, is through with what comes before."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    chief, other = (
        subprocess.Popen(
            [sys.executable, "-c", LEAVING, str(PATIENCE)], env={**os.environ, "TF_CONFIG": config}, **pipes
        )
        for config in cluster_configs(free_ports(2))
    )
    assert chief.stdout.readline() == "agreed\n", chief.communicate()[1]
    errors = [process.communicate(timeout=PATIENCE)[1] for process in (other, chief)]
    assert [process.returncode for process in (other, chief)] == [0, 0], errors


CLUSTER = Cluster(("a:1", "b:2"), 1)


def test_an_error_of_a_worker_reaches_the_others(tmp_path):
    with pytest.raises(ConfigError, match=r"worker 1 \(b:2\): no such thing"), shared_failures(tmp_path, CLUSTER):
        raise ConfigError("no such thing.")
    lost = tf.errors.UnavailableError(None, None, "aborted by /job:worker/replica:0/task:1")
    with pytest.raises(LostWorkerError, match=r"worker 1 \(b:2\) stopped: no such thing\. Checkpoints are kept"):
        with shared_failures(tmp_path, dataclasses.replace(CLUSTER, index=0)):
            raise lost
    # The next start forgets it.
    with shared_failures(tmp_path, CLUSTER):
        pass
    assert list(tmp_path.iterdir()) == []


def test_errors_of_the_step_itself_pass(tmp_path):
    error = tf.errors.InvalidArgumentError(None, None, "shapes")
    for cluster in (None, CLUSTER):
        with pytest.raises(tf.errors.InvalidArgumentError), shared_failures(tmp_path / "none", cluster):
            raise error


def test_slurm_is_asked_to_run_the_job_again(tmp_path, monkeypatch, caplog):
    """A stand-in for SLURM's scontrol, which writes down how it was called."""
    tool = tmp_path / "scontrol"
    tool.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\nexit "${{STATUS:-0}}"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert requeue({"SLURM_JOB_ID": "77"})
    assert (tmp_path / "called").read_text() == "requeue 77\n"
    monkeypatch.setenv("STATUS", "1")
    assert not requeue({"SLURM_JOB_ID": "77"})
    assert not requeue({})
    assert "outside a SLURM job" in caplog.text
    assert json.dumps(caplog.text).count("Submit it again") == 1
