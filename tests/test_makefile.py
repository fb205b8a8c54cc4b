"""`make` alone helps, and refuses a Python that TensorFlow has no wheels for."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()


def make(*words, place=ROOT):
    """As from a shell: a `make` that runs the tests hands on a level and flags, and a make below it then says more."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", "-f", str(ROOT / "Makefile"), *words],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_alone_lists_every_target():
    (targets,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, flags=re.MULTILINE)
    done = make()
    assert done.returncode == 0 and done.stderr == ""
    lines = dict(re.match(r"make (\S+)\s+(\S.*)", line).groups() for line in done.stdout.splitlines())
    assert list(lines) == targets.split()
    assert {"quickstart", "test", "test-all", "lint", "bench"} <= lines.keys()


@pytest.mark.parametrize(("version", "fits"), [("3, 10", False), ("3, 11", True), ("3, 13", True), ("3, 14", False)])
def test_python_must_have_wheels_of_tensorflow(tmp_path, version, fits):
    """A stand-in that says it is of this version, and notes what else it should do."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "setup.py").touch()
    python = tmp_path / "python"
    python.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        "if sys.argv[1] != '-c': open('called', 'w'), sys.exit(1)\n"
        f"sys.version_info = ({version})\n"
        "exec(sys.argv[2])\n"
    )
    os.chmod(python, 0o755)
    done = make("lint", f"PYTHON={python}", place=tmp_path)
    assert done.returncode != 0
    assert (tmp_path / "called").exists() == fits
    assert ("expected Python 3.11, 3.12 or 3.13" in done.stderr) != fits
