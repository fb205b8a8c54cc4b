"""Saves in the background: a copy of the state is taken at once and written by a thread while the next steps run.

The copy is also what is left of the last good state where a run ends in numbers that are not finite.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from barlowtf.errors import CheckpointError, NonFiniteError
from barlowtf.models.checkpoint import save_state, state_names, state_variables
from barlowtf.models.finiteness import all_finite, square_sum

_LOG = logging.getLogger("barlowtf")
# Weights whose norm has grown by this factor since the last copy are copied only once another step was taken from them:
# most such steps are not finite. A norm below 1 is taken for 1.
_JUMP = 100.0


class BackgroundSaver:
    """Writes the checkpoints of one model, one at a time, none of which holds a number that is not finite.

    TensorFlow's own asynchronous checkpoint does the same, but reports a failed write only at the next save; a full
    disk must be reported sooner. The copy of weights and optimizer state takes host memory.

    Attributes:
        held: Finished steps of the state in the copy; None: there is none yet.
    """

    def __init__(self, folder: Path, model: keras.Model, *, keep: int) -> None:
        """Allocates the copy.

        Args:
            folder: The run's `checkpoints` folder.
            model: The compiled model, its optimizer built.
            keep: Number of checkpoints that stay, the last ones, >= 1.
        """
        self.folder, self.keep = folder, keep
        self.held: int | None = None
        self._norm, self._jumped = 0.0, False
        self._variables = state_variables(model)
        self._names = state_names(model)
        self._weights = [variable.value for variable in model.trainable_variables]
        self._thread: threading.Thread | None = None
        self._failure: CheckpointError | None = None
        with tf.device("CPU:0"):
            self._copies = {key: tf.Variable(tf.zeros_like(value)) for key, value in self._variables.items()}
        self._state = tf.train.Checkpoint(**{"values": self._copies})
        # Traced here, once: TensorFlow counts the calls and traces of all savers together, and warns where each is
        # called once, as a short training does.
        self._copy = tf.function(self._assign_copies).get_concrete_function()
        self._look = tf.function(self._finite_and_norm).get_concrete_function()
        self._give_back: Callable[[], Any] | None = None

    def start(
        self, step: int, *, folder: Path | None = None, keep: int | None = None, even_after_jump: bool = True
    ) -> bool:
        """Copies the state after a step and starts to write it; waits first for the previous save.

        Args:
            step: Finished steps.
            folder: Where to; None: the folder of this saver.
            keep: Number of checkpoints that stay in that folder; None: that of this saver.
            even_after_jump: Whether to save weights that have grown so much that the next step may not be finite.

        Returns:
            Whether it was copied; if not, it can be after the next step.

        Raises:
            CheckpointError: The previous save failed.
            NonFiniteError: The state is not finite. The copy stays as it was.
        """
        self.finish()
        if not self._take(step, even_after_jump):
            return False
        self._thread = threading.Thread(
            target=self._write, args=(step, folder or self.folder, keep or self.keep), name="checkpoint"
        )
        self._thread.start()
        return True

    def hold(self, step: int, *, even_after_jump: bool = False) -> bool:
        """Copies the state after a step and writes nothing.

        Args:
            step: Finished steps.
            even_after_jump: See `start`.

        Returns:
            Whether it was copied; it is not while a save goes on.

        Raises:
            CheckpointError: The previous save failed.
            NonFiniteError: The state is not finite. The copy stays as it was.
        """
        if self._thread is not None and self._thread.is_alive():
            return False
        self.finish()
        return self._take(step, even_after_jump)

    def give_back(self) -> int:
        """Gives the model the state in the copy; returns its finished steps.

        Raises:
            ValueError: There is none.
        """
        if self.held is None:
            raise ValueError("give_back needs a state that was held before.")
        if self._give_back is None:
            self._give_back = tf.function(self._assign_variables).get_concrete_function()
        self._give_back()
        return self.held

    def save_held(self) -> int | None:
        """Writes the state in the copy and waits until it is on the disk; returns its finished steps, None: no copy.

        Raises:
            CheckpointError: It cannot be written.
        """
        self.finish()
        if self.held is not None:
            save_state(self.folder, self._state, self.held, keep=self.keep)
        return self.held

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

    def _take(self, step: int, even_after_jump: bool) -> bool:
        finite, norm = (tensor.numpy() for tensor in self._look())
        if not finite.all():
            tensor = self._names[int(finite.argmin())]
            raise NonFiniteError(
                f"The state after step {step} is not finite: the first such tensor is {tensor}. It is not saved. Try a "
                "lower learning rate, a longer warm-up or float32.",
                step=step,
                tensor=tensor,
                bad_state=step,
            )
        jumped = self.held is not None and not norm <= _JUMP * max(self._norm, 1.0)
        # A second time: the step from the weights that had jumped was finite.
        if jumped and not self._jumped and not even_after_jump:
            self._jumped = True
            return False
        self._copy()
        self.held, self._norm, self._jumped = step, float(norm), False
        return True

    def _finite_and_norm(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns whether each variable is finite, bool [V], and the norm of the weights, float32 []."""
        values = (tf.convert_to_tensor(variable) for variable in self._variables.values())
        finite = [all_finite(value) if value.dtype.is_floating else tf.constant(True) for value in values]
        sums = [square_sum(tf.convert_to_tensor(weight)) for weight in self._weights]
        return tf.stack(finite), tf.sqrt(tf.add_n(sums))

    def _assign_variables(self) -> None:
        for key, variable in self._variables.items():
            variable.assign(self._copies[key])

    def _assign_copies(self) -> None:
        for key, variable in self._variables.items():
            self._copies[key].assign(variable)

    def _write(self, step: int, folder: Path, keep: int) -> None:
        try:
            save_state(folder, self._state, step, keep=keep)
        except CheckpointError as error:
            self._failure = error
