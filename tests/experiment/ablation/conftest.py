"""Files and stand-ins of grids: steps that take no time, and processes that leave their results at once."""

import importlib
from pathlib import Path

import pytest

from barlowtf.experiment import ablation_plan
from barlowtf.launching import EndedJob
from tests.experiment.ablation.grids import GRID, leave_run


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

    monkeypatch.setattr(importlib.import_module("barlowtf.experiment.ablate"), "run_jobs", run_jobs)
    return started
