"""Branch coverage of the lower floors by the tests of the first tier: what stands below training and evaluation.

Processes that the tests start count; their forks, and code that TensorFlow's AutoGraph has rewritten, do not.

Writes results/branch_coverage.json: covered lines and branches of all statements and branches of each room, and the
lines and branches that are missing.

Command: python -m benchmarks.branch_coverage [--jobs N] [TEST...]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks import machine

# Of the package: what mathematics, records, data, models and encoders are.
ROOMS = (
    *("errors", "leaving", "regular", "printable", "atomic"),
    *("config", "records", "runs", "launching", "doors", "tables", "places", "downloads"),
    *("distribute", "detection", "losses", "metrics", "optim", "augment", "data", "models", "encoders"),
)
_TESTS_FAILED = 1  # what pytest ends with
_SETTINGS = """[run]
branch = true
source = {package}
data_file = {folder}/data
patch = subprocess, _exit

[report]
exclude_also =
    if TYPE_CHECKING:
    @overload
    raise NotImplementedError
    ^\\s*\\.\\.\\.$
"""


def measure(tests: list[str], jobs: int, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Runs tests and returns coverage's report as JSON gives it, and the names of tests that failed.

    Raises:
        SystemExit: The tests could not be run.
    """
    settings, report, outcomes = folder / "settings", folder / "report.json", folder / "outcomes.xml"
    settings.write_text(_SETTINGS.format(package=machine.ROOT / "barlowtf", folder=folder), encoding="utf-8")
    words = ["pytest", "-q", "-n", str(jobs), "--dist", "loadfile", "-m", "not slow", *tests]
    words += ["--cov", f"--cov-config={settings}", f"--cov-report=json:{report}", f"--junitxml={outcomes}"]
    status = subprocess.run([sys.executable, "-m", *words], cwd=machine.ROOT, check=False).returncode
    if status not in (0, _TESTS_FAILED):
        raise SystemExit(f"The tests ended with {status}.")
    files = dict(json.loads(report.read_text(encoding="utf-8"))["files"])
    return files, _failed_tests(outcomes)


def _failed_tests(outcomes: Path) -> list[str]:
    cases = ElementTree.parse(outcomes).iter("testcase")
    failed = (case for case in cases if case.find("failure") is not None or case.find("error") is not None)
    return [f"{case.get('classname')}::{case.get('name')}" for case in failed]


def summarize(files: dict[str, Any]) -> dict[str, Any]:
    """Returns the share of each room and of all, and what is missing in each file."""
    rooms: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    branches, missing = [0, 0], {}
    for name, found in sorted(files.items()):
        parts = Path(name).parts
        room = parts[parts.index("barlowtf") + 1].removesuffix(".py")
        if room not in ROOMS:
            continue
        summary = found["summary"]
        rooms[room][0] += summary["covered_lines"] + summary["covered_branches"]
        rooms[room][1] += summary["num_statements"] + summary["num_branches"]
        branches[0] += summary["covered_branches"]
        branches[1] += summary["num_branches"]
        if found["missing_lines"] or found["missing_branches"]:
            missing[name] = {"lines": found["missing_lines"], "branches": found["missing_branches"]}
    covered, of = (sum(counts[at] for counts in rooms.values()) for at in (0, 1))
    shares = {room: {"covered": counts[0], "of": counts[1]} for room, counts in rooms.items()}
    return {
        "covered_percent": round(100 * covered / of, 2),
        "branches_percent": round(100 * branches[0] / branches[1], 2),
        "covered": covered,
        "of": of,
        "rooms": shares,
        "missing": missing,
    }


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tests", nargs="*", help="tests instead of all; nothing is written then")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files, failed = measure(options.tests, options.jobs, Path(folder))
    result = {**summarize(files), "failed_tests": failed}
    if options.tests:
        sys.stdout.write(f"{json.dumps(result, indent=1)}\n")
    else:
        sys.stderr.write(f"{machine.write_result('branch_coverage', result)}\n")


if __name__ == "__main__":
    main()
