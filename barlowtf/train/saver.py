"""Saves in the background: a copy of the state is taken at once and written by a thread while the next steps run."""

import logging
import threading
from pathlib import Path

import keras
import tensorflow as tf

from barlowtf.errors import CheckpointError
from barlowtf.models.checkpoint import save_state, state_variables

_LOG = logging.getLogger("barlowtf")


class BackgroundSaver:
    """Writes the checkpoints of one model, one at a time.

    TensorFlow's own asynchronous checkpoint does the same, but reports a failed write only at the next save; a full
    disk must be reported sooner. The copy of weights and optimizer state takes host memory.
    """

    def __init__(self, folder: Path, model: keras.Model, *, keep: int) -> None:
        """Allocates the copy.

        Args:
            folder: The run's `checkpoints` folder.
            model: The compiled model, its optimizer built.
            keep: Number of checkpoints that stay, the last ones, >= 1.
        """
        self.folder, self.keep = folder, keep
        self._variables = state_variables(model)
        self._thread: threading.Thread | None = None
        self._failure: CheckpointError | None = None
        with tf.device("CPU:0"):
            self._copies = {key: tf.Variable(tf.zeros_like(value)) for key, value in self._variables.items()}
        self._state = tf.train.Checkpoint(**{"values": self._copies})
        # Traced here, once: TensorFlow counts the calls and traces of all savers together, and warns where each is
        # called once, as a short training does.
        self._copy = tf.function(self._assign_copies).get_concrete_function()

    def start(self, step: int, *, folder: Path | None = None, keep: int | None = None) -> None:
        """Copies the state after a step and starts to write it; waits first for the previous save.

        Args:
            step: Finished steps.
            folder: Where to; None: the folder of this saver.
            keep: Number of checkpoints that stay in that folder; None: that of this saver.

        Raises:
            CheckpointError: The previous save failed.
        """
        self.finish()
        self._copy()
        self._thread = threading.Thread(
            target=self._write, args=(step, folder or self.folder, keep or self.keep), name="checkpoint"
        )
        self._thread.start()

    def finish(self) -> None:
        """Waits until the last save is on the disk.

        Raises:
            CheckpointError: It failed.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.raise_failure()

    def raise_failure(self) -> None:
        """Raises the CheckpointError of a save that failed; does not wait for one in progress."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def close(self) -> None:
        """Waits like `finish`, but logs its error: another error is already being raised."""
        try:
            self.finish()
        except CheckpointError as error:
            _LOG.error("%s", error)

    def _assign_copies(self) -> None:
        for key, variable in self._variables.items():
            self._copies[key].assign(variable)

    def _write(self, step: int, folder: Path, keep: int) -> None:
        try:
            save_state(folder, self._state, step, keep=keep)
        except CheckpointError as error:
            self._failure = error
