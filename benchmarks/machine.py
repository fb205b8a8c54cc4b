"""What all benchmarks share: where and on what they ran, fresh processes, medians, result files.

Imports neither TensorFlow nor PyTorch, so that a measured process holds only the library that it measures.
"""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"
_PACKAGES = ("barlowtf", "tensorflow", "keras", "numpy", "pillow", "scikit-learn", "torch")
# Library -> environment variables that set its number of threads before it starts.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


def describe_machine() -> dict[str, Any]:
    """Returns processor, cores, memory, system, versions, source commit and time of this run."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "system": platform.platform(),
            "load_average_after": os.getloadavg(),
        },
        "versions": {"python": platform.python_version(), **_versions()},
        "git_commit": _git_commit(),
    }


def peak_memory_bytes() -> int:
    """Returns the largest resident memory that this process has had, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts kibibytes.


def pin(cores: int) -> None:
    """Keeps this process, and the threads that it will start, on the first so many cores that it may use.

    Raises:
        ValueError: The machine gives fewer.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if cores > len(allowed):
        raise ValueError(f"Received cores = {cores}. Expected at most {len(allowed)}, what this machine gives.")
    os.sched_setaffinity(0, allowed[:cores])


def run_child(
    module: str,
    *arguments: str,
    threads: int,
    environment: dict[str, str] | None = None,
    python: str = sys.executable,
    root: Path | None = None,
) -> Any:
    """Runs `python -m module arguments` and returns what it printed as JSON in its last line.

    Args:
        module: Name of the module, "benchmarks.step".
        *arguments: Of its command line.
        threads: Cores of the process and threads of its libraries, >= 1.
        environment: Further variables.
        python: Of the environment to run in.
        root: Checkout whose code runs; None: this one.

    Raises:
        RuntimeError: The process failed; the message holds the end of what it said.
    """
    variables = dict.fromkeys(_THREAD_VARIABLES, str(threads))
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(
        [python, "-m", module, *arguments],
        cwd=root or ROOT,
        env={**os.environ, **variables, **quiet, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"python -m {module} {' '.join(arguments)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def time_calls(call: Callable[[], Any], *, warm_up: int, repeats: int) -> list[float]:
    """Returns the seconds of each of `repeats` calls, after `warm_up` that are not timed."""
    for _ in range(warm_up):
        call()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return seconds


def median(values: Sequence[float]) -> float:
    """Returns the middle value, rounded to six significant digits."""
    return float(f"{statistics.median(values):.6g}")


def write_result(name: str, result: dict[str, Any]) -> Path:
    """Writes results/NAME.json: the command, machine and versions, then the result; returns its path."""
    module = Path(sys.argv[0]).stem
    command = " ".join(["python", "-m", f"benchmarks.{module}", *sys.argv[1:]])
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    whole = {"command": command, **describe_machine(), **result}
    path.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    return path


def _versions() -> dict[str, str]:
    installed = {}
    for name in _PACKAGES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


def _processor() -> str:
    """Returns vendor, family and model as the system tells them: "AMD EPYC" alone names many processors."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    first: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        first.setdefault(name.strip(), value.strip())
    name = first.get("model name", platform.processor())
    return f"{name}, family {first.get('cpu family', '?')}, model {first.get('model', '?')}"


def _git_commit() -> str | None:
    """Returns the commit of the source, with "+" when files differ from it; None outside a repository."""

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
