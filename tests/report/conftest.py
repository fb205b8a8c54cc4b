from pathlib import Path

import pytest

from barlowtf.config import load_recipe
from barlowtf.records import RunSteps
from barlowtf.report import RunContents
from barlowtf.runs import RunFolder
from tests.result_records import make_run_info


@pytest.fixture
def make_run():
    """A run of the digits recipe that lies nowhere."""

    def make(name="run", metrics=(), results=(), per_epoch=None, loss_terms=("invariance", "redundancy")):
        folder = RunFolder(Path("/nowhere") / name)
        info = (
            None
            if per_epoch is None
            else make_run_info(steps=RunSteps(total=10, per_epoch=per_epoch), loss_terms=loss_terms)
        )
        return RunContents(name, folder, info, load_recipe("digits"), list(metrics), list(results))

    return make
