"""A trial under way: the process of its run, and what it has measured so far."""

import math
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from barlowtf.errors import CheckpointError
from barlowtf.experiment.tuning_study import AskedTrial
from barlowtf.launching import TETHERED, start_command
from barlowtf.records import read_metrics
from barlowtf.runs import RunFolder
from barlowtf.train.best import Criterion


@dataclass
class RunningTrial:
    """The process of a trial.

    Attributes:
        asked: The trial.
        run: Its run folder.
        process: `barlowtf pretrain`.
        log: Its output.
        criterion: What the score is made of.
        pruned: Whether it has been stopped because others are better.
        last_score: The last score that was read.
    """

    asked: AskedTrial
    run: RunFolder
    process: subprocess.Popen[bytes]
    log: Path
    criterion: Criterion
    pruned: bool = False
    last_score: float | None = None
    _read_epoch: int = 0
    _started: float = field(default_factory=time.monotonic)

    @classmethod
    def start(
        cls, asked: AskedTrial, *, run: RunFolder, recipe: Path, criterion: Criterion, environment: Mapping[str, str]
    ) -> "RunningTrial":
        """Starts the run of a trial, or goes on with it."""
        log = run.path.with_name(f"{run.path.name}.log")
        command = (*TETHERED, "pretrain", "--config", str(recipe), "--run-dir", str(run.path))
        return cls(asked, run, start_command(command, log=log, environment=environment), log, criterion)

    @property
    def seconds(self) -> float:
        """Time since it was started."""
        return time.monotonic() - self._started

    def new_scores(self) -> list[tuple[int, float]]:
        """Returns (epoch, score) of the measurements since the last call, in order."""
        # A line may be half written at this moment.
        with suppress(CheckpointError):
            info = self.run.read_info()
            if info is None:
                return []
            found = []
            for record in read_metrics(self.run.metrics):
                value, epoch = record.get(self.criterion.key), record["step"] // info.steps.per_epoch
                if value is not None and math.isfinite(value) and epoch > self._read_epoch:
                    self._read_epoch = epoch
                    self.last_score = self.criterion.score(value)
                    found.append((epoch, self.last_score))
            return found
        return []

    def poll(self) -> int | None:
        """Returns the exit status of the process, None while it runs."""
        status = self.process.poll()
        if status is not None and self.process.stdin is not None:
            self.process.stdin.close()
        return status

    def prune(self) -> None:
        """Stops the run; its state is saved, and nothing goes on from it."""
        self.pruned = True
        self.stop(signal.SIGTERM)

    def stop(self, number: signal.Signals) -> None:
        """Sends a signal to the process."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, number)
