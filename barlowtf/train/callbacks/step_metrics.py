"""Measures the training itself: loss terms, speed, learning rates, norms."""

import time
from typing import Any

import tensorflow as tf

from barlowtf.train.callbacks.due import is_due
from barlowtf.train.callbacks.recorder import Monitor, Recorder

# Logs of which a single step says nothing.
_NOT_MEASURED = ("step", "steps", "waited")


class StepMetrics(Monitor):
    """Records the logs of the first step, of every N-th and of the last one, and what can be computed from them."""

    def __init__(
        self,
        recorder: Recorder,
        *,
        every_steps: int,
        batch_size: int,
        steps_per_epoch: int,
        total_steps: int,
        loss_terms: tuple[str, ...],
        embedding_width: int,
    ) -> None:
        """Sets the interval and what the figures refer to.

        Args:
            recorder: Receives the measurements.
            every_steps: Record when the number of finished steps is a multiple of it, and the first step.
            batch_size: Global batch N, images per step.
            steps_per_epoch: Steps of one pass over the data, for "epoch".
            total_steps: Steps of the whole run.
            loss_terms: Names in the logs of the terms of the loss, for "<term>_per_dimension".
            embedding_width: D.
        """
        super().__init__(recorder)
        self.every_steps, self.batch_size = every_steps, batch_size
        self.steps_per_epoch, self.embedding_width = steps_per_epoch, embedding_width
        self.total_steps = total_steps
        self.loss_terms = ("loss", *loss_terms)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Starts the count."""
        self._seconds, self._waited, self._steps = 0.0, 0.0, 0
        # The first step holds the tracing and compiling of the graph: its speed says nothing about the others.
        self._tracing = True

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock: waiting for the batch counts, what other callbacks do does not."""
        self._started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        """Records a step that is due."""
        self._seconds += time.perf_counter() - self._started
        self._waited += float(logs["waited"])
        self._steps += int(logs["steps"])
        if not is_due(logs, self.every_steps) and not self._tracing and int(logs["step"]) != self.total_steps:
            return
        optimizer = self.model.optimizer
        self.recorder.add({name: float(value) for name, value in logs.items() if name not in _NOT_MEASURED})
        self.recorder.add({"epoch": int(logs["step"]) / self.steps_per_epoch})
        self.recorder.add(
            {f"{name}_per_dimension": float(logs[name]) / self.embedding_width for name in self.loss_terms}
        )
        for name in ("learning_rate", "bias_learning_rate"):
            if hasattr(optimizer, name):
                self.recorder.add({name: float(tf.convert_to_tensor(getattr(optimizer, name)))})
        self.recorder.add({"weight_norm": float(_global_norm(self.model.trainable_variables))})
        if not self._tracing:
            self.recorder.add({"images_per_second": self._steps * self.batch_size / self._seconds})
            self.recorder.add({"input_wait": self._waited / self._seconds})
        self._seconds, self._waited, self._steps, self._tracing = 0.0, 0.0, 0, False


def _global_norm(variables: list[Any]) -> tf.Tensor:
    """Returns the norm of all variables as one vector, float32 [], without a copy of them."""
    return tf.sqrt(tf.add_n([2.0 * tf.nn.l2_loss(tf.cast(variable, tf.float32)) for variable in variables]))
