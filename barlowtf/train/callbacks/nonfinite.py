"""Stops a run whose numbers are no longer finite."""

from typing import Any

import keras

from barlowtf.errors import TrainingError


class StopOnNonFinite(keras.callbacks.Callback):
    """Raises as soon as a step holds NaN or infinity. Put it first, so that nothing is saved or written after it.

    Needs `first_nonfinite` in the logs, an index into `model.checked_names`; both come from `BarlowTwins`.
    """

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Raises TrainingError, naming the step and the first tensor that is not finite."""
        index = int(logs.pop("first_nonfinite"))
        if index >= 0:
            raise TrainingError(
                f"Step {int(logs['step'])} is not finite: the first such tensor is {self.model.checked_names[index]}. "
                "The last good checkpoint is kept. Try a lower learning rate, a longer warm-up or float32."
            )
