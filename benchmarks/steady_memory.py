"""Memory and file handles of a process that pre-trains for 10,000 steps with every monitor.

python -m benchmarks.steady_memory [--steps N]; writes results/steady_memory.json: resident memory after steps 100,
1,000 and 10,000, of a thin ResNet on the digits as image files that are read anew for each batch.
"""

import argparse
import json
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.watched_run import SETTINGS_OF_RUNS, Run, expect, write_images

_STEPS_PER_EPOCH = 22
# Monitors look at the images every so many epochs; each of them at least twice before the first mark that counts.
_EVERY_EPOCHS = 2
# Of the samples around a mark the median counts: a save or a monitor takes memory for a moment.
_AROUND = 50


def measure(folder: Path, steps: int) -> dict[str, Any]:
    """Trains for so many steps; returns memory and handles at the marks."""
    epochs = -(-steps // _STEPS_PER_EPOCH)
    write_images(folder / "images")
    settings = {
        "train.epochs": str(epochs),
        "monitor.knn_every_epochs": str(_EVERY_EPOCHS),
        "monitor.collapse_every_epochs": str(_EVERY_EPOCHS),
        "monitor.probe": "true",
    }
    run = Run(folder / "run", folder / "images", settings)
    run.start()
    samples: list[tuple[int, int, int]] = []
    while run.watch(0.2):
        with suppress(OSError):
            samples.append((last_step(run.folder / "metrics.jsonl"), *run.sampled()))
    expect(run.end(None) == 0, run, "the run failed")
    marks = [mark for mark in (100, 1_000, 10_000) if mark <= steps]
    found = {mark: sorted(samples, key=lambda sample: abs(sample[0] - mark))[:_AROUND] for mark in marks}
    memory = {mark: sorted(sample[1] for sample in part)[len(part) // 2] for mark, part in found.items()}
    handles = {mark: sorted(sample[2] for sample in part)[len(part) // 2] for mark, part in found.items()}
    return {
        "settings": SETTINGS_OF_RUNS | settings,
        "steps": steps,
        "memory_mib": {str(mark): round(size / 2**20, 1) for mark, size in memory.items()},
        "growth_percent": round(100 * (memory[marks[-1]] / memory[marks[0]] - 1), 2),
        "file_handles": {str(mark): count for mark, count in handles.items()},
    }


def last_step(metrics: Path) -> int:
    """Returns the step of the last whole line of the measurements."""
    with open(metrics, "rb") as file:
        file.seek(max(0, metrics.stat().st_size - 4096))
        lines = file.read().split(b"\n")[:-1]
    return int(json.loads(lines[-1])["step"]) if lines else 0


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        machine.write_result("steady_memory", measure(Path(folder), arguments.steps))


if __name__ == "__main__":
    main()
