from pathlib import Path

import pytest

from barlowtf.config import load_recipe
from barlowtf.report import RunContents
from barlowtf.runs import RunFolder


@pytest.fixture
def make_run():
    """A run of the digits recipe that lies nowhere."""

    def make(name="run", metrics=(), results=(), **info):
        folder = RunFolder(Path("/nowhere") / name)
        return RunContents(name, folder, info, load_recipe("digits"), list(metrics), list(results))

    return make
