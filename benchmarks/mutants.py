"""Tests of the tests: how many small faults put into the code are found by its own unit tests.

Each mutant is this package with one change in one place: another operator or comparison, a number one larger or
smaller, a condition turned round, a decorator taken away. The changes are those of Cosmic Ray (`cosmic_ray.operators`),
one drawn for each place; annotations are left alone. Of each area so many places are drawn, by a seed, among all. A
mutant is killed when a test of its area fails, when nothing can be imported, or after a time limit; the tests are the
area's own of the first tier, without those with real processes.

Copies of the checkout are mutated, never the checkout itself. Each copy has a process that has imported TensorFlow and
forks for every mutant.

With --survivors, those that the result file names are tried again, after tests were added: the same code, the same
draw.

Command: python -m benchmarks.mutants [--places N] [--areas NAME,...] [--jobs N] [--survivors]
"""

import argparse
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.drawn_mutants import AREAS, Mutant, draw_mutants, files_of

_COPIED = ("barlowtf", "tests", "benchmarks", "cli", "configs", "docs", "pyproject.toml", "README.md")
_SECONDS = 240

# Takes tests and a time limit from each line, runs them in a fork and answers with pytest's exit status. The limit is
# the fork's own: it holds when nobody waits any more.
_SERVER = """
import json, os, signal, sys
import numpy, pytest, tensorflow, keras

for line in sys.stdin:
    tests, seconds = json.loads(line)
    child = os.fork()
    if child == 0:
        signal.alarm(seconds)
        output = os.open("mutant.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        os._exit(pytest.main(["-x", "-q", "-m", "not slow", "-p", "no:cacheprovider", *tests]))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Copy:
    """A copy of the checkout, and the process that runs tests in it."""

    def __init__(self, folder: Path) -> None:
        """Copies the checkout into `folder` and starts the process."""
        self._folder = folder
        ignored = shutil.ignore_patterns("__pycache__")
        for name in _COPIED:
            source, target = machine.ROOT / name, folder / name
            shutil.copytree(source, target, ignore=ignored) if source.is_dir() else shutil.copy(source, target)
        environment = {
            **os.environ,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(folder),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "-1",
        }
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._server = subprocess.Popen([sys.executable, "-c", _SERVER], cwd=folder, env=environment, **pipes)

    def try_mutant(self, mutant: Mutant) -> str:
        """Returns what became of a mutant: "killed", "timed out" or "survived"."""
        file = self._folder / mutant.file
        original = file.read_text(encoding="utf-8")
        file.write_text(mutant.source, encoding="utf-8")
        try:
            # The likely ones first, by their names: most mutants end there.
            status = 0
            for tests in filter(None, _related_first(mutant)):
                status = status or self.run(tests)
            return {0: "survived", -signal.SIGALRM: "timed out"}.get(status, "killed")
        finally:
            file.write_text(original, encoding="utf-8")

    def run(self, tests: list[str]) -> int:
        """Returns pytest's exit status over some tests, less than 0 after the time limit."""
        given, answered = self._server.stdin, self._server.stdout
        if given is None or answered is None:
            raise RuntimeError("The process has no pipes.")
        given.write(json.dumps([tests, _SECONDS]) + "\n")
        given.flush()
        return int(answered.readline())

    def close(self) -> None:
        """Ends the process."""
        self._server.kill()
        self._server.wait()


def _related_first(mutant: Mutant) -> tuple[list[str], list[str]]:
    """Returns the tests of a mutant's area whose names share a word with its file, and the others."""
    words = set(Path(mutant.file).stem.split("_"))
    related: tuple[list[str], list[str]] = [], []
    for path in files_of(AREAS[mutant.area][1]):
        if path.stem.startswith("test_"):
            related[not words & set(path.stem.split("_"))].append(str(path.relative_to(machine.ROOT)))
    return related


def try_all(mutants: list[Mutant], folder: Path, jobs: int) -> list[dict[str, Any]]:
    """Returns each mutant with its outcome and seconds; `jobs` copies take turns."""
    waiting: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
    for mutant in mutants:
        waiting.put(mutant)
    done: list[dict[str, Any]] = []

    def work(number: int) -> None:
        copy = Copy(folder / f"copy-{number}")
        try:
            while True:
                try:
                    mutant = waiting.get_nowait()
                except queue.Empty:
                    return
                started = time.perf_counter()
                outcome = copy.try_mutant(mutant)
                described = {key: value for key, value in asdict(mutant).items() if key != "source"}
                done.append({**described, "outcome": outcome, "seconds": round(time.perf_counter() - started, 1)})
                sys.stderr.write(f"{len(done)}/{len(mutants)} {mutant.file}:{mutant.line} {outcome}\n")
        finally:
            copy.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done


def _key(mutant: Mutant | dict[str, Any]) -> tuple[Any, ...]:
    fields = mutant if isinstance(mutant, dict) else asdict(mutant)
    return tuple(fields[name] for name in ("file", "line", "operator", "code", "mutated"))


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--places", type=int, default=40, help="drawn in each area")
    parser.add_argument("--areas", default=",".join(AREAS), help="some of them, with commas")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--survivors", action="store_true", help="try only those of the result file again")
    options = parser.parse_args()
    drawn = {area: draw_mutants(area, options.places) for area in options.areas.split(",")}
    mutants = [mutant for of_area, _ in drawn.values() for mutant in of_area]
    if options.survivors:
        before = json.loads((machine.RESULTS / "mutants.json").read_text(encoding="utf-8"))["survivors"]
        known = {_key(survivor) for survivor in before}
        mutants = [mutant for mutant in mutants if _key(mutant) in known]
        if len(mutants) != len(before):
            raise SystemExit("The code has changed since the result file was written: try all mutants.")
    with tempfile.TemporaryDirectory() as made:
        copy = Copy(Path(made) / "unchanged")
        for area in {mutant.area for mutant in mutants}:
            if copy.run(AREAS[area][1]):
                raise SystemExit(f"The tests of {area} fail without a change.")
        copy.close()
        results = try_all(mutants, Path(made), options.jobs)
    if len(results) < len(mutants):
        raise SystemExit("A copy's process ended early.")
    survivors = [result for result in results if result["outcome"] == "survived"]
    areas = {}
    for area, (of_area, places) in drawn.items():
        survived = sum(survivor["area"] == area for survivor in survivors)
        areas[area] = {"places": places, "mutants": len(of_area), "killed": len(of_area) - survived}
    count = sum(len(of_area) for of_area, _ in drawn.values())
    timed_out = [_key(result) for result in results if result["outcome"] == "timed out"]
    shares = {"killed": round(1 - len(survivors) / count, 4), "mutants": count, "timed_out": timed_out}
    path = machine.write_result("mutants", {**shares, "areas": areas, "survivors": survivors})
    sys.stderr.write(f"{path}\n")


if __name__ == "__main__":
    main()
