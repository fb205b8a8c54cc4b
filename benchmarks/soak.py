"""Pre-trains for an hour with a fault every minute, and compares the weights with those of an undisturbed run.

python -m benchmarks.soak [--minutes M] [--every SECONDS] [--seed S]; writes results/soak.json. Real processes train a
thin ResNet on the digits as image files. The faults, in turn, two that a process must live through before each that
ends it:

    second process   the same command beside the run is refused
    rewritten files  images are written anew with the same bytes
    kill             `kill -9`
    full disk        no write succeeds any more (a limit on the size of files, set from outside)
    hang up          SIGHUP, SIGTERM, SIGINT
    other images     an image is replaced while nothing runs: refused, until the image is back
    damaged save     the newest checkpoint is cut: the one before is used
    lost images      images are removed, cut and replaced while the run reads them: the run goes on and lists them

The last one changes what is learned; the run then goes back to the checkpoint that it had before.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.kills import final_weights
from benchmarks.watched_run import PATIENCE_SECONDS, SETTINGS_OF_RUNS, Run, expect, write_images


def second_process(run: Run, r: np.random.Generator) -> None:
    """The same command once more."""
    found = subprocess.run(run.command(), capture_output=True, text=True, check=False)
    expect(
        found.returncode == 1 and f"{run.process.pid}" in found.stderr, run, f"second process: {found.stderr[-500:]}"
    )


def rewritten_files(run: Run, r: np.random.Generator) -> None:
    """A tenth of the images are replaced by themselves."""
    for path in r.permutation(sorted(run.images.rglob("*.png")))[:140]:
        aside = path.with_name(f".{path.name}")
        aside.write_bytes(path.read_bytes())
        os.replace(aside, path)


def kill(run: Run, r: np.random.Generator) -> None:
    """`kill -9`."""
    expect(run.end(signal.SIGKILL) == -signal.SIGKILL, run, "kill")


def hang_up(run: Run, r: np.random.Generator) -> None:
    """The end of a connection, of a session, of patience."""
    number = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)[r.integers(3)]
    status = run.end(number)
    expect(status == (130 if number == signal.SIGINT else 143), run, f"{number.name} ended with {status}")


def full_disk(run: Run, r: np.random.Generator) -> None:
    """From now on no file takes another byte."""
    resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, (100, 100))
    status = run.end(None)
    lines = [line for line in run.errors().splitlines() if line.startswith("Error:")]
    # Its log is such a file, too.
    expect(status == 1 and len(lines) <= 1, run, f"full disk ended with {status}")
    record = json.loads((run.folder / "run.json").read_text())
    expect(record["status"] in ("running", "interrupted", "failed"), run, f"run.json says {record['status']}")


def damaged_save(run: Run, r: np.random.Generator) -> None:
    """The newest checkpoint loses its second half."""
    kill(run, r)
    newest = run.checkpoints()[-1]
    largest = max(newest.iterdir(), key=lambda file: file.stat().st_size)
    os.truncate(largest, largest.stat().st_size // 2)
    run.start()
    expect(newest.name in run.errors() or "damaged" in run.errors(), run, "a damaged save was not named")


def other_images(run: Run, r: np.random.Generator) -> None:
    """An image is another one when the run is to go on."""
    hang_up(run, r)
    path = r.choice(sorted(run.images.rglob("*.png")))
    content = path.read_bytes()
    path.write_bytes(content[:-20] + bytes(20))
    found = subprocess.run(run.command(), capture_output=True, text=True, check=False)
    path.write_bytes(content)
    expect(found.returncode == 1 and "--check-data" in found.stderr, run, f"other images: {found.stderr[-500:]}")


def lost_images(run: Run, r: np.random.Generator) -> None:
    """Three images go while the run reads them; then they are back, and the run where it was."""
    kept = run.folder.with_suffix(".kept")
    run.end(signal.SIGTERM)
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(run.folder / "checkpoints", kept)
    run.start()
    paths = [Path(path) for path in r.permutation(sorted(map(str, run.images.rglob("*.png"))))[:3]]
    contents = [path.read_bytes() for path in paths]
    paths[0].unlink()
    os.truncate(paths[1], len(contents[1]) // 2)
    paths[2].write_bytes(b"<html>404</html>")
    listed = run.folder / "skipped.jsonl"
    end = time.monotonic() + PATIENCE_SECONDS
    while run.watch(1) and time.monotonic() < end and not _names(listed, paths):
        pass
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    expect(_names(listed, paths), run, f"not all of {paths} are in {listed}")
    hang_up(run, r)
    listed.unlink()
    shutil.rmtree(run.folder / "checkpoints")
    kept.rename(run.folder / "checkpoints")


def _names(listed: Path, paths: list[Path]) -> bool:
    text = listed.read_text() if listed.exists() else ""
    return all(str(path) in text for path in paths)


ENDING: tuple[Callable[[Run, np.random.Generator], None], ...] = (
    kill,
    full_disk,
    hang_up,
    other_images,
    damaged_save,
    lost_images,
)
FAULTS = tuple(fault for ending in ENDING for fault in (second_process, rewritten_files, ending))


def soak(folder: Path, *, minutes: float, every: float, seed: int) -> dict[str, Any]:
    """Trains with faults for some time; returns what happened, and the number of values that differ in each run."""
    r = np.random.default_rng(seed)
    images = folder / "images"
    write_images(images)
    unbroken = Run(folder / "unbroken", images)
    unbroken.start()
    unbroken.watch(float("inf"))
    expect(unbroken.end(None) == 0, unbroken, "the undisturbed run failed")
    expected = final_weights(unbroken.folder)
    lives = list(unbroken.lives)
    happened: dict[str, int] = {}
    differing: list[int] = []
    end, turn = time.monotonic() + 60 * minutes, 0
    while time.monotonic() < end:
        run = Run(folder / f"run-{len(differing)}", images)
        run.start()
        while run.watch(every if time.monotonic() < end else float("inf")):
            if time.monotonic() >= end:
                continue
            fault = FAULTS[turn % len(FAULTS)]
            turn += 1
            fault(run, r)
            happened[fault.__name__] = happened.get(fault.__name__, 0) + 1
            sys.stderr.write(f"{turn} {fault.__name__}: {len(run.checkpoints())} saves\n")
            if run.process.poll() is not None:
                run.start()
        expect(run.end(None) == 0, run, "the run failed")
        found = final_weights(run.folder)
        differing.append(sum(int(np.sum(expected[name] != found[name])) for name in expected))
        lives += run.lives
    return {
        "minutes": minutes,
        "faults": sum(happened.values()),
        "faults_by_kind": happened,
        "runs": len(differing),
        "values_compared_a_run": sum(value.size for value in expected.values()),
        "values_that_differ": differing,
        "largest_memory_growth_percent": max((life["memory_growth_percent"] for life in lives), default=None),
        "lives": lives,
    }


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--every", type=float, default=60, help="seconds between two faults")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = soak(Path(folder), minutes=arguments.minutes, every=arguments.every, seed=arguments.seed)
    machine.write_result("soak", {"settings": SETTINGS_OF_RUNS, **result})
    sys.stderr.write(f"{ {key: value for key, value in result.items() if key != 'lives'} }\n")
    if any(result["values_that_differ"]):
        raise SystemExit("a run with faults ended in other weights")


if __name__ == "__main__":
    main()
