from pathlib import Path

import pytest

from barlowtf.config import load_recipe
from barlowtf.records import Machine, RunData, RunInfo, RunSteps
from barlowtf.report import RunContents
from barlowtf.runs import RunFolder


@pytest.fixture
def make_run():
    """A run of the digits recipe that lies nowhere."""

    def make(name="run", metrics=(), results=(), per_epoch=None, loss_terms=("invariance", "redundancy")):
        folder = RunFolder(Path("/nowhere") / name)
        info = None if per_epoch is None else run_info(per_epoch, loss_terms)
        return RunContents(name, folder, info, load_recipe("digits"), list(metrics), list(results))

    return make


def run_info(per_epoch, loss_terms):
    return RunInfo(
        command="barlowtf pretrain",
        versions={"python": "3.11"},
        machine=Machine(processor="", cores=2, system="Linux"),
        devices=("CPU",),
        replicas=1,
        git_commit=None,
        status="finished",
        data=RunData(source="digits", images=10, fingerprint="ab"),
        steps=RunSteps(total=10, per_epoch=per_epoch),
        parameters=5,
        loss_terms=loss_terms,
    )
