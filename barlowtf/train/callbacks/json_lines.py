"""Writes measurements as JSON lines."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from barlowtf.records import append_line


class JsonLines(keras.callbacks.Callback):
    """Appends the scalars of each recorded step or epoch to a file."""

    def __init__(self, path: Path) -> None:
        """Sets the file, one JSON object a line."""
        super().__init__()
        self.path = path

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Writes what monitors measured before the first step."""
        self._write(logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes a recorded step."""
        self._write(logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes what monitors measured after an epoch."""
        self._write(logs)

    def _write(self, logs: dict[str, Any]) -> None:
        if "record" in logs:
            scalars = {name: _number(value) for name, value in logs.items() if name != "record" and np.ndim(value) == 0}
            append_line(self.path, {"step": int(scalars.pop("step")), **scalars})


def _number(value: Any) -> int | float:
    return int(value) if isinstance(value, int | np.integer) else float(value)
