"""Saves training state every N steps or M minutes, and at the end."""

import time
from pathlib import Path
from typing import Any

import keras

from barlowtf.train.callbacks.due import is_due
from barlowtf.train.saver import BackgroundSaver

# Time between two copies of the state as a multiple of the time that a copy takes.
_HOLD_EVERY = 500.0


class SaveCheckpoints(keras.callbacks.Callback):
    """Saves after the steps that are due. Put it last, so that a step that stops the run is never saved.

    Between two saves it keeps a copy of the state in memory, taken as often as costs a five-hundredth of the time: the
    last finite state, should a step end in numbers that are not finite (`barlowtf.train.last_finite`).
    """

    def __init__(self, folder: Path, *, every_steps: int | None, every_minutes: float | None, keep: int) -> None:
        """Sets where and when.

        Args:
            folder: The run's `checkpoints` folder.
            every_steps: Save when the number of finished steps is a multiple of it; None: by time alone.
            every_minutes: Save when this many minutes have passed since the last save; None: by steps alone.
            keep: Number of checkpoints that stay, the last ones.
        """
        super().__init__()
        self.folder, self.every_steps, self.keep = folder, every_steps, keep
        self.saver: BackgroundSaver | None = None
        self.every_seconds = None if every_minutes is None else 60.0 * every_minutes

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock, and copies the state that the run begins with."""
        self.saver = BackgroundSaver(self.folder, self.model, keep=self.keep)
        self._hold_due = 0.0
        self._hold(int((logs or {}).get("step", 0)))
        self._saved_at, self._is_late = time.monotonic(), False

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        """Saves where a save is due; raises CheckpointError where the one before has failed."""
        self._begun().raise_failure()
        by_steps = self.every_steps is not None and is_due(logs, self.every_steps)
        by_time = self.every_seconds is not None and time.monotonic() - self._saved_at >= self.every_seconds
        if by_steps or by_time or self._is_late:
            self._is_late = not self._begun().start(int(logs["step"]), even_after_jump=False)
            self._saved_at = time.monotonic()
        elif time.monotonic() >= self._hold_due:
            self._hold(int(logs["step"]))

    def _hold(self, step: int) -> None:
        started = time.monotonic()
        if self._begun().hold(step):
            ended = time.monotonic()
            self._hold_due = ended + _HOLD_EVERY * (ended - started)

    def save_aside(self, folder: Path, step: int) -> None:
        """Saves the state after a step as the only one in another folder, see `BackgroundSaver.start`."""
        self._begun().start(step, folder=folder, keep=1)

    def on_train_end(self, logs: dict[str, Any]) -> None:
        """Saves the last step, and waits until it is on the disk."""
        saver = self._begun()
        saver.start(int(logs["step"]))
        saver.finish()

    def close(self) -> None:
        """Waits for a save that is under way when the run ends by an error."""
        if self.saver is not None:
            self.saver.close()

    def _begun(self) -> BackgroundSaver:
        if self.saver is None:
            raise ValueError("SaveCheckpoints saves only after on_train_begin.")
        return self.saver
