"""Measures the training itself: speed, learning rates, norms."""

import time
from typing import Any

import keras
import tensorflow as tf

from barlowtf.train.callbacks.due import is_due


class StepMetrics(keras.callbacks.Callback):
    """Every so many steps, completes the logs of the step and marks them with "record"."""

    def __init__(self, *, every_steps: int, batch_size: int, steps_per_epoch: int, embedding_width: int) -> None:
        """Sets the interval and what the figures refer to.

        Args:
            every_steps: Record when the number of finished steps is a multiple of it, and the first step.
            batch_size: Global batch N, images a step.
            steps_per_epoch: For "epoch", the passes over the data so far.
            embedding_width: D, for the loss per dimension.
        """
        super().__init__()
        self.every_steps, self.batch_size = every_steps, batch_size
        self.steps_per_epoch, self.embedding_width = steps_per_epoch, embedding_width

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Starts the count."""
        self._seconds, self._steps = 0.0, 0
        # The first step holds the tracing and compiling of the graph: its speed says nothing about the others.
        self._tracing = True

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock: waiting for the batch counts, what other callbacks do does not."""
        self._started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Completes the logs of a step that is due."""
        self._seconds += time.perf_counter() - self._started
        self._steps += int(logs["steps"])
        step = int(logs["step"])
        if not is_due(logs, self.every_steps) and not self._tracing:
            return
        logs["record"] = True
        logs["epoch"] = step / self.steps_per_epoch
        for name in ("loss", *self.model.loss_terms):
            logs[f"{name}_per_dimension"] = logs[name] / self.embedding_width
        for name in ("learning_rate", "bias_learning_rate"):
            if hasattr(self.model.optimizer, name):
                logs[name] = float(tf.convert_to_tensor(getattr(self.model.optimizer, name)))
        logs["weight_norm"] = float(_global_norm(self.model.trainable_variables))
        if not self._tracing:
            logs["images_per_second"] = self._steps * self.batch_size / self._seconds
        self._seconds, self._steps, self._tracing = 0.0, 0, False


def _global_norm(variables: list[Any]) -> tf.Tensor:
    """Returns the norm of all variables as one vector, float32 [], without a copy of them."""
    return tf.sqrt(tf.add_n([2.0 * tf.nn.l2_loss(tf.cast(variable, tf.float32)) for variable in variables]))
