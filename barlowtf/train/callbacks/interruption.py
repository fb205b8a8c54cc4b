"""Ends the run after the step during which a signal came."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


class StopOnRequest(keras.callbacks.Callback):
    """Sets `stop_training` when this process, or one of several workers, is to stop. Put it first."""

    def __init__(self, requested: Callable[[], bool], stop_request: tf.Variable | None = None) -> None:
        """Sets where the request comes from.

        Args:
            requested: Returns whether this process is to stop.
            stop_request: With several workers, the variable that `compile_step` sums over them; None: one process.
        """
        super().__init__()
        self.requested, self.stop_request = requested, stop_request

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Tells the other workers, through the step that follows."""
        if self.stop_request is not None and self.requested():
            self.stop_request.assign(1.0)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Stops before the monitors begin; several workers must take the next step together."""
        if self.stop_request is None and self.requested():
            self.model.stop_training = True

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        """Stops after this step."""
        if self.stop_request is None:
            requested = self.requested()
        else:
            # Taken out: the callbacks that follow see the logs of an ordinary step.
            requested = float(logs.pop("stop_requests")) > 0.0
        if requested:
            self.model.stop_training = True
