"""Shows a run to the person who started it."""

import logging
import time
from datetime import timedelta
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

_LOG = logging.getLogger("barlowtf")


class Progress(keras.callbacks.Callback):
    """A bar with loss, images/s and time left on a terminal; log lines elsewhere."""

    def __init__(self, *, total_steps: int, console: Console, line_seconds: float = 15.0) -> None:
        """Sets the length of the run and where it is shown.

        Args:
            total_steps: Steps of the whole run.
            console: Of standard error. Where it is no terminal, lines go to the log instead.
            line_seconds: At most one line in so many seconds, and one for each measurement of a monitor.
        """
        super().__init__()
        self.total_steps, self.console, self.line_seconds = total_steps, console, line_seconds
        self._speed = ""
        self._bar: Bar | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock and the bar."""
        self._first_step = int(logs["step"])
        self._started = self._written = time.monotonic()
        if self.console.is_terminal:
            text = "{task.fields[text]}"
            columns = (BarColumn(), MofNCompleteColumn(), TextColumn(text), TimeElapsedColumn())
            self._bar = Bar(*columns, console=self.console)
            self._task = self._bar.add_task("", total=self.total_steps, completed=self._first_step, text="first step")
            self._bar.start()
        self._show_measurements(logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Moves the bar; writes a line where one is due."""
        if "images_per_second" in logs:
            self._speed = f"{logs['images_per_second']:.4g} images/s  "
        step = int(logs["step"])
        if self._bar is not None:
            self._bar.update(self._task, completed=step, text=self._text(step, logs))
        elif time.monotonic() - self._written >= self.line_seconds or step == self.total_steps:
            self._written = time.monotonic()
            _LOG.info("step %d/%d  %s", step, self.total_steps, self._text(step, logs))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Shows what monitors measured."""
        self._show_measurements(logs)

    def close(self) -> None:
        """Gives the terminal back, also after an error."""
        if self._bar is not None:
            self._bar.stop()

    def _text(self, step: int, logs: dict[str, Any]) -> str:
        seconds = (time.monotonic() - self._started) / (step - self._first_step) * (self.total_steps - step)
        return f"loss {logs['loss']:.4g}  {self._speed}{timedelta(seconds=round(seconds))} left"

    def _show_measurements(self, logs: dict[str, Any]) -> None:
        parts = []
        if "knn_top1" in logs:
            parts.append(f"kNN {100 * logs['knn_top1']:.1f} %")
        if "effective_rank" in logs:
            parts.append(f"effective rank {logs['effective_rank']:.1f}, {logs['dead_dimensions']} dead dimensions")
        if parts:
            line = f"step {int(logs['step'])}: {', '.join(parts)}"
            if self._bar is not None:
                self._bar.console.print(line, highlight=False)
            else:
                _LOG.info(line)
