"""Writes measurements and pictures for TensorBoard."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf


class TensorBoardWriter(keras.callbacks.Callback):
    """Writes the scalars, and as pictures the uint8 arrays [height, width, 1 or 3], of what is recorded."""

    def __init__(self, folder: Path) -> None:
        """Sets the folder of event files."""
        super().__init__()
        self.folder = folder
        self._writer = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Opens the event file and writes what monitors measured before the first step."""
        self._writer = tf.summary.create_file_writer(str(self.folder))
        self._write(logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes a recorded step."""
        self._write(logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes what monitors measured after an epoch."""
        self._write(logs)
        self._writer.flush()

    def close(self) -> None:
        """Closes the event file, also after an error."""
        if self._writer is not None:
            self._writer.close()

    def _write(self, logs: dict[str, Any]) -> None:
        if "record" not in logs:
            return
        with self._writer.as_default(step=int(logs["step"])):
            for name, value in logs.items():
                if np.ndim(value) == 3:
                    tf.summary.image(name, value[None])
                elif name not in ("record", "step"):
                    tf.summary.scalar(name, value)
