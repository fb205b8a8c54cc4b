"""Shows a run to the person who started it."""

import logging
import time
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from barlowtf.leaving import undone_by
from barlowtf.train.callbacks.recorder import Recorder, Writer

_LOG = logging.getLogger("barlowtf")


class Progress(Writer):
    """A bar with loss, images/s and time left on a terminal; log lines elsewhere."""

    def __init__(self, recorder: Recorder, *, total_steps: int, console: Console, line_seconds: float = 15.0) -> None:
        """Sets the length of the run and where it is shown.

        Args:
            recorder: Holds what is shown beside the loss.
            total_steps: Steps of the whole run.
            console: Console of standard error. Where it is not a terminal, lines go to the log instead.
            line_seconds: Seconds between two lines, at least. Each measurement of a monitor has a line, too.
        """
        super().__init__(recorder)
        self.total_steps, self.console, self.line_seconds = total_steps, console, line_seconds
        self._speed = ""
        self._clock: tuple[int, float] | None = None
        self._bar: Bar | None = None
        self._task = TaskID(0)
        self._undone = ExitStack()

    def on_train_begin(self, logs: dict[str, Any]) -> None:
        """Starts the bar."""
        self._written = time.monotonic()
        if self.console.is_terminal:
            text = "{task.fields[text]}"
            columns = (BarColumn(), MofNCompleteColumn(), TextColumn(text), TimeElapsedColumn())
            self._bar = Bar(*columns, console=self.console)
            self._task = self._bar.add_task("", total=self.total_steps, completed=int(logs["step"]), text="first step")
            # Else the cursor would stay hidden.
            self._undone.enter_context(undone_by(lambda _: self.console.show_cursor()))
            self._bar.start()
        super().on_train_begin(logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        """Moves the bar; writes a line where one is due."""
        if "images_per_second" in self.recorder.scalars:
            self._speed = f"{self.recorder.scalars['images_per_second']:.4g} images/s  "
        step = int(logs["step"])
        if self._clock is None:
            self._clock = (step, time.monotonic())
        if self._bar is not None:
            self._bar.update(self._task, completed=step, text=self._text(step, logs))
        elif time.monotonic() - self._written >= self.line_seconds or step == self.total_steps:
            self._written = time.monotonic()
            _LOG.info("step %d/%d  %s", step, self.total_steps, self._text(step, logs))

    def close(self) -> None:
        """Gives the terminal back, also after an error."""
        if self._bar is not None:
            self._bar.stop()
        self._undone.close()

    def _text(self, step: int, logs: dict[str, Any]) -> str:
        text = f"loss {logs['loss']:.4g}  {self._speed}"
        if self._clock is None or self._clock[0] == step:
            # The first step compiles: it says nothing about those to come.
            return text.rstrip()
        first, started = self._clock
        seconds = (time.monotonic() - started) / (step - first) * (self.total_steps - step)
        return f"{text}{timedelta(seconds=round(seconds))} left"

    def write(self, step: int) -> None:
        """Shows what monitors measured before the first step or after an epoch."""
        measured, parts = self.recorder.scalars, []
        if "knn_top1" in measured:
            parts.append(
                f"kNN {100 * measured['knn_top1']:.1f} %{' (half on half)' if measured.get('knn_halved') else ''}"
            )
        if "probe_top1" in measured:
            parts.append(f"probe {100 * measured['probe_top1']:.1f} %")
        if "effective_rank" in measured:
            rank, dead = measured["effective_rank"], measured["dead_dimensions"]
            parts.append(f"effective rank {rank:.1f}, {dead} dead dimensions")
        if "lidar" in measured:
            parts.append(f"RankMe {measured['rankme']:.1f}, LiDAR {measured['lidar']:.1f}")
        if parts:
            line = f"step {step}: {', '.join(parts)}"
            if self._bar is not None:
                self._bar.console.print(line, highlight=False)
            else:
                _LOG.info(line)
