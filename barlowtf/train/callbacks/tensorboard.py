"""Writes measurements and pictures for TensorBoard."""

from pathlib import Path
from typing import Any

import tensorflow as tf

from barlowtf.train.callbacks.recorder import Recorder, Writer


class TensorBoardWriter(Writer):
    """Writes scalars and pictures as TensorBoard summaries."""

    def __init__(self, folder: Path, recorder: Recorder) -> None:
        """Sets the folder of event files, and what is written."""
        super().__init__(recorder)
        self.folder = folder
        self._writer: tf.summary.SummaryWriter | None = None

    def on_train_begin(self, logs: dict[str, Any]) -> None:
        """Opens the event file and writes what was measured before the first step."""
        self._writer = tf.summary.create_file_writer(str(self.folder))
        super().on_train_begin(logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Writes what was measured after an epoch, and puts the epoch on the disk."""
        super().on_epoch_end(epoch, logs)
        if self._writer is not None:
            self._writer.flush()

    def write(self, step: int) -> None:
        """Writes one summary per scalar and picture."""
        if self._writer is None:
            raise ValueError("TensorBoardWriter writes only between on_train_begin and close.")
        with self._writer.as_default(step=step):
            for name, value in self.recorder.scalars.items():
                tf.summary.scalar(name, value)
            for name, picture in self.recorder.pictures.items():
                tf.summary.image(name, picture[None])

    def close(self) -> None:
        """Closes the event file, also after an error."""
        if self._writer is not None:
            self._writer.close()
