"""Says where a run will take much longer than was foretold."""

import logging
import time
from typing import Any

import keras

from barlowtf.config.durations import format_time

_LOG = logging.getLogger("barlowtf")
# Fewer steps, or less time, say little: the first batches wait for the pipeline to fill.
_LEAST_STEPS, _LEAST_SECONDS = 20, 30.0
# Timings of a few steps are off by up to a third on a machine that others use, too.
_MUCH = 1.5


class Pace(keras.callbacks.Callback):
    """Warns once, after half a minute of steps, where they take half as long again as when they were timed."""

    def __init__(self, seconds_per_step: float, *, total_steps: int) -> None:
        """Takes what was foretold.

        Args:
            seconds_per_step: Of a step when it was timed.
            total_steps: Steps of the whole run.
        """
        super().__init__()
        self.seconds_per_step, self.total_steps = seconds_per_step, total_steps

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Starts the count."""
        self._seconds, self._steps, self._tracing, self._told = 0.0, 0, True, False

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock: what other callbacks do does not count."""
        self._started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        """Compares, once enough steps have been taken after the first, which compiles."""
        if self._tracing or self._told:
            self._tracing = False
            return
        self._seconds += time.perf_counter() - self._started
        self._steps += int(logs["steps"])
        if self._steps < _LEAST_STEPS or self._seconds < _LEAST_SECONDS:
            return
        self._told, taken = True, self._seconds / self._steps
        if taken > _MUCH * self.seconds_per_step:
            _LOG.warning(
                "A step takes %.3g s, not %.3g s as it was timed: all steps will take about %s, not %s. Is other work "
                "running on this machine? Ctrl-C saves; a smaller --budget needs another --run-dir.",
                taken,
                self.seconds_per_step,
                format_time(taken * self.total_steps),
                format_time(self.seconds_per_step * self.total_steps),
            )
