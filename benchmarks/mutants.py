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
import ast
import json
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine

# Area -> its code, and its tests.
AREAS = {
    "losses": (["barlowtf/losses"], ["tests/losses"]),
    "optim": (["barlowtf/optim"], ["tests/optim"]),
    "augment": (["barlowtf/augment"], ["tests/augment"]),
    "data order": (
        ["barlowtf/data/order.py", "barlowtf/data/two_crop_batches.py"],
        ["tests/data/test_order.py", "tests/data/test_two_crop_batches.py", "tests/data/test_local_crops.py"],
    ),
    "checkpoint": (
        [
            "barlowtf/models/checkpoint.py",
            "barlowtf/train/saver.py",
            "barlowtf/train/best.py",
            "barlowtf/train/last_finite.py",
            "barlowtf/runs.py",
        ],
        ["tests/models/test_checkpoint.py", "tests/test_runs.py", "tests/train"],
    ),
    "records": (["barlowtf/records"], ["tests/records", "tests/report/test_mutated.py"]),
}
_COPIED = ("barlowtf", "tests", "benchmarks", "cli", "configs", "docs", "pyproject.toml", "README.md")
_SECONDS = 240
_SEED = 0

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


@dataclass(frozen=True)
class Mutant:
    """One change in one place.

    Attributes:
        area: Key of AREAS.
        file: Of the checkout.
        line: The place's line, from 1.
        operator: Name of Cosmic Ray's operator.
        code: The line before the change.
        mutated: The line after it.
        source: The whole file after it.
    """

    area: str
    file: str
    line: int
    operator: str
    code: str
    mutated: str
    source: str


def draw_mutants(area: str, places: int) -> tuple[list[Mutant], int]:
    """Returns the drawn mutants of an area, and how many places it has."""
    draws = random.Random(f"{_SEED} {area}")
    found: dict[tuple[Path, tuple[int, int]], list[tuple[str, int]]] = {}
    for path in _files(AREAS[area][0]):
        for place, operator, occurrence in _changes(path.read_text(encoding="utf-8")):
            found.setdefault((path, place), []).append((operator, occurrence))
    order = draws.sample(list(found), len(found))
    mutants: list[Mutant] = []
    for path, place in order:
        operator, occurrence = draws.choice(found[path, place])
        mutant = _mutant(area, path, place, operator, occurrence)
        if mutant is not None:
            mutants.append(mutant)
        if len(mutants) == places:
            break
    return mutants, len(found)


def _files(names: list[str]) -> Iterator[Path]:
    for name in names:
        path = machine.ROOT / name
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def _changes(source: str) -> Iterator[tuple[tuple[int, int], str, int]]:
    """Yields (line and column, operator, occurrence) of what Cosmic Ray can change outside annotations."""
    import parso
    from cosmic_ray.ast import ast_nodes
    from cosmic_ray.operators.provider import OperatorProvider

    passed_over = _annotations(source)
    provider, tree = OperatorProvider(), parso.parse(source)
    for name in provider:
        # These two want arguments.
        if name in ("VariableReplacer", "VariableInserter"):
            continue
        occurrence = 0
        for node in ast_nodes(tree):
            for start, _ in provider[name]().mutation_positions(node):
                if not any(first <= start < last for first, last in passed_over):
                    yield start, name, occurrence
                occurrence += 1


def _annotations(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Returns where annotations begin and end."""
    found: list[ast.expr | None] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.arg | ast.AnnAssign):
            found.append(node.annotation)
        elif isinstance(node, ast.FunctionDef):
            found.append(node.returns)
    return [
        ((node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0))
        for node in found
        if node is not None
    ]


def _mutant(area: str, path: Path, place: tuple[int, int], operator: str, occurrence: int) -> Mutant | None:
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.operators.provider import OperatorProvider

    source = path.read_text(encoding="utf-8")
    try:
        mutated = mutate_code(source, OperatorProvider()[operator](), occurrence)
    except AttributeError:
        # Cosmic Ray's own, on `except module.Error`.
        return None
    if mutated is None or mutated == source:
        return None
    try:
        compile(mutated, str(path), "exec")
    except SyntaxError:
        # The star before keyword-only arguments is no product, for one.
        return None
    before, after = source.splitlines(), mutated.splitlines()
    at = next((at for at, (old, new) in enumerate(zip(before, after, strict=False)) if old != new), place[0] - 1)
    file = str(path.relative_to(machine.ROOT))
    return Mutant(area, file, at + 1, operator, before[at].strip(), after[at].strip(), mutated)


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
    for path in _files(AREAS[mutant.area][1]):
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
