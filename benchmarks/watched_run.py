"""A training run as a process that can be watched: its steps, what it says, its memory and file handles."""

import json
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from benchmarks.kills import SETTINGS, command

EPOCHS = 300
SETTINGS_OF_RUNS = SETTINGS | {
    "train.epochs": str(EPOCHS),
    "monitor.every_steps": "10",
    "monitor.knn_every_epochs": "20",
    "monitor.collapse_every_epochs": "20",
    "checkpoint.every_steps": "50",
    "checkpoint.keep": "3",
}
# Lives of processes as long as this show whether memory and file handles grow; what was taken before does not count.
_LONG_SECONDS, _WARM_SECONDS = 120.0, 60.0
PATIENCE_SECONDS = 120.0


def write_images(folder: Path) -> list[Path]:
    """Writes the digits as image files of three sizes, which are therefore not kept in memory; returns their paths."""
    from PIL import Image
    from sklearn.datasets import load_digits

    scans = load_digits()
    paths = []
    for number, (pixels, label) in enumerate(zip(scans.images[:1437], scans.target[:1437], strict=True)):
        side = 16 + number % 3
        path = folder / str(label) / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 15).astype(np.uint8)).resize((side, side)).save(path)
        paths.append(path)
    return paths


class Run:
    """A run folder and the process that trains in it."""

    def __init__(self, folder: Path, images: Path, settings: Mapping[str, str] = MappingProxyType({})) -> None:
        """Starts nothing yet; the settings differ from those of the other runs."""
        self.folder, self.images, self._settings = folder, images, settings
        self._process: subprocess.Popen[str] | None = None
        self.lives: list[dict[str, Any]] = []
        self._log = folder.with_suffix(".log")
        self._samples: list[tuple[float, int, int]] = []

    @property
    def process(self) -> subprocess.Popen[str]:
        """The process that was started last."""
        if self._process is None:
            raise RuntimeError("The run has not been started.")
        return self._process

    def command(self) -> list[str]:
        """Returns the command line of the run."""
        data = {"data.source": json.dumps(str(self.images)), "data.max_unreadable": "10"}
        return command(self.folder, SETTINGS_OF_RUNS | data | self._settings)

    def start(self) -> None:
        """Starts a process and waits for its first step after the last save."""
        self._log.write_text("")
        with open(self._log, "w") as log:
            self._process = subprocess.Popen(self.command(), stdout=subprocess.DEVNULL, stderr=log, text=True)
        self._samples, before, begun = [], self.lines(), time.monotonic()
        while self.process.poll() is None and self.lines() == before:
            if time.monotonic() - begun > PATIENCE_SECONDS:
                raise RuntimeError(f"no step after {PATIENCE_SECONDS} s: {self.errors()}")
            time.sleep(0.1)

    def lines(self) -> int:
        """Returns how many times measurements were written: the size and time of the file."""
        try:
            return (self.folder / "metrics.jsonl").stat().st_mtime_ns
        except OSError:
            return 0

    def errors(self) -> str:
        """Returns what the process has said."""
        return self._log.read_text()

    def watch(self, seconds: float) -> bool:
        """Lets the process train for some time; returns whether it still does."""
        process, end = self.process, time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < end:
            try:
                self._samples.append((time.monotonic(), *self.sampled()))
            except OSError:
                break
            time.sleep(min(seconds, 1))
        return process.poll() is None

    def sampled(self) -> tuple[int, int]:
        """Returns the resident memory of the process, bytes, and the number of its file handles.

        Raises:
            OSError: It has ended.
        """
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def end(self, number: int | None) -> int:
        """Sends a signal, where one is given, and waits for the end of the process; returns its status."""
        process = self.process
        if number is not None:
            process.send_signal(number)
        status = process.wait(PATIENCE_SECONDS)
        if self._samples and self._samples[-1][0] - self._samples[0][0] >= _LONG_SECONDS:
            warm = [sample for sample in self._samples if sample[0] - self._samples[0][0] >= _WARM_SECONDS]
            third = max(1, len(warm) // 3)
            parts = warm[:third], warm[-third:]
            first, last = (np.median([sample[1] for sample in part]) for part in parts)
            self.lives.append(
                {
                    "seconds": round(self._samples[-1][0] - self._samples[0][0], 1),
                    "memory_mib": round(float(last) / 2**20, 1),
                    "memory_growth_percent": round(100 * float(last / first - 1), 2),
                    "file_handles": [max(sample[2] for sample in part) for part in parts],
                }
            )
        # TensorFlow itself logs where an image could not be read; a process that ends in a traceback ends with that.
        last = self.errors().strip().splitlines()[-1:]
        if any("Error:" in line and not line.startswith("Error:") for line in last):
            raise RuntimeError(self.errors()[-3000:])
        return status

    def checkpoints(self) -> list[Path]:
        """Returns the saves, oldest first."""
        return sorted((self.folder / "checkpoints").glob("step-*"))


def expect(condition: bool, run: Run, what: str) -> None:
    """Raises RuntimeError with what the run has said, where something is not as it must be."""
    if not condition:
        raise RuntimeError(f"{what}; the run said: {run.errors()[-2000:]}")
