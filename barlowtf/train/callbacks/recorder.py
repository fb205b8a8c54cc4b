"""What is measured at one point of a run, and the two kinds of callbacks that share it: monitors and writers."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np


class Recorder(keras.callbacks.Callback):
    """Holds the measurements of one point of a run: before the first step, after a step, or after an epoch.

    Monitors add to it and writers, later in the list, read it. It stands before both, and forgets at each point what
    was measured at the point before.

    Attributes:
        scalars: Name -> number.
        pictures: Name -> array [height, width, 1 or 3], uint8, or float32 in [0, 1].
    """

    def __init__(self) -> None:
        """Starts empty."""
        super().__init__()
        self.scalars: dict[str, int | float] = {}
        self.pictures: dict[str, np.ndarray] = {}

    def add(self, scalars: Mapping[str, int | float]) -> None:
        """Adds numbers by name."""
        self.scalars.update(scalars)

    def add_picture(self, name: str, picture: np.ndarray) -> None:
        """Adds a picture, [height, width, 1 or 3]."""
        self.pictures[name] = picture

    def clear(self) -> None:
        """Forgets what was measured at this point: nothing of it is written."""
        self.scalars.clear()
        self.pictures.clear()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Starts the point before the first step."""
        self.clear()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the point after a step."""
        self.clear()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the point after an epoch."""
        self.clear()


class Monitor(keras.callbacks.Callback):
    """A callback that measures and adds what it found to a recorder."""

    def __init__(self, recorder: Recorder) -> None:
        """Sets the recorder, which stands before it in the list."""
        super().__init__()
        self.recorder = recorder


class Writer(keras.callbacks.Callback):
    """A callback that writes or shows what the monitors before it have measured, where they have measured anything."""

    def __init__(self, recorder: Recorder) -> None:
        """Sets the recorder, which stands before the monitors in the list."""
        super().__init__()
        self.recorder = recorder

    def write(self, step: int) -> None:
        """Writes the measurements after a number of finished steps."""
        raise NotImplementedError

    def on_train_begin(self, logs: dict[str, Any]) -> None:
        """Writes what was measured before the first step."""
        self._write_any(logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        """Writes what was measured after a step."""
        self._write_any(logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Writes what was measured after an epoch."""
        self._write_any(logs)

    def _write_any(self, logs: dict[str, Any]) -> None:
        if self.recorder.scalars or self.recorder.pictures:
            self.write(int(logs["step"]))
