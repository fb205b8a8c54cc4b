"""The audit of the dependencies never fails because nothing answers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_without_an_index_one_line_says_that_nothing_was_audited():
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_EXTRA_INDEX_URL": "", "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run(
        [str(Path(__file__).parents[1] / ".ci" / "audit")],
        env={**os.environ, "PYTHON": sys.executable, **nowhere},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "pip-audit did not run: no package index answers. Nothing was audited.\n"
