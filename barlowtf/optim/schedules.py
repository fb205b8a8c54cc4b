"""Learning rate schedules."""

import math
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="barlowtf")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then half a cosine down to a share of the base rate; both in steps.

    Letters: B batch size, W steps of warm-up, T steps in all, s the step; base = base_rate * B / 256.

    1. s < W:   rate = base * s / W; with `warmup_start`: rate = warmup_start + (base - warmup_start) * s / (W - 1).
    2. W <= s:  q = (1 + cos(pi * (s - W) / (T - W))) / 2; rate = base * (q + final_scale * (1 - q)).

    From step T on the rate stays at final_scale * base. Computed in float64: a float32 cosine is off by 1e-4 of the
    rate near the end, where q is almost 0.

    Args:
        base_rate: Rate at the peak for a batch of 256, > 0. The authors' code: 0.2 for weights, 0.0048 for biases.
        batch_size: Global batch B, images per step, >= 1.
        steps_per_epoch: Steps in one epoch, >= 1.
        epochs: Length of the run in epochs, >= 1.
        warmup_epochs: Length of the warm-up in epochs, in [0, epochs).
        warmup_start: Rate of the first step, >= 0, whatever the batch; base is then reached at step W - 1 and held at
            W, as in solo-learn. None: from 0, and base is reached at step W, as in the authors' code.
        final_scale: Rate at the end as a share of the peak, >= 0.
        first_step: Number of the step at which s is 0, >= 0, for an optimizer that has taken steps before.
        name: Name of the schedule, or None.

    Raises:
        ValueError: An argument is out of its range.

    Source: facebookresearch/barlowtwins main.py, adjust_learning_rate; solo-learn utils/lr_scheduler.py,
    LinearWarmupCosineAnnealingLR.
    """

    def __init__(
        self,
        base_rate: float,
        *,
        batch_size: int,
        steps_per_epoch: int,
        epochs: int,
        warmup_epochs: float = 10,
        warmup_start: float | None = None,
        final_scale: float = 0.001,
        first_step: int = 0,
        name: str | None = None,
    ) -> None:
        """Stores the settings; see the class."""
        if not base_rate > 0:
            raise ValueError(f"Invalid base_rate: received {base_rate}, expected a number > 0.")
        for label, count in (("batch_size", batch_size), ("steps_per_epoch", steps_per_epoch), ("epochs", epochs)):
            if not count >= 1:
                raise ValueError(f"Invalid {label}: received {count}, expected at least 1.")
        if not 0 <= warmup_epochs < epochs:
            raise ValueError(
                f"Invalid warmup_epochs: received {warmup_epochs}, expected at least 0 and less than epochs = {epochs}."
            )
        if warmup_start is not None and not warmup_start >= 0:
            raise ValueError(f"Invalid warmup_start: received {warmup_start}, expected None or a number >= 0.")
        if not final_scale >= 0:
            raise ValueError(f"Invalid final_scale: received {final_scale}, expected a number >= 0.")
        if not first_step >= 0:
            raise ValueError(f"Invalid first_step: received {first_step}, expected a number >= 0.")
        super().__init__()
        self.base_rate = base_rate
        self.batch_size = batch_size
        self.steps_per_epoch = steps_per_epoch
        self.epochs = epochs
        self.warmup_epochs = warmup_epochs
        self.warmup_start = warmup_start
        self.final_scale = final_scale
        self.first_step = first_step
        self.name = name

    def __call__(self, step: Any) -> tf.Tensor:
        """Rate at `step`, a float32 scalar.

        Args:
            step: Steps already done, an integer >= `first_step`: Python int, tensor or variable. The first update
                uses `first_step`.
        """
        step = tf.cast(tf.convert_to_tensor(step), tf.float64) - self.first_step
        peak = self.base_rate * self.batch_size / 256
        warmup = self.warmup_epochs * self.steps_per_epoch
        decay = self.epochs * self.steps_per_epoch - warmup
        cosine = (1.0 + tf.cos(math.pi * tf.minimum((step - warmup) / decay, 1.0))) / 2.0
        rate = peak * (cosine + self.final_scale * (1.0 - cosine))
        if warmup > 0:
            rate = tf.where(step < warmup, self._rise(step, warmup, peak), rate)
        return tf.cast(rate, tf.float32)

    def _rise(self, step: tf.Tensor, warmup: float, peak: float) -> tf.Tensor:
        if self.warmup_start is None:
            return peak * step / warmup
        return self.warmup_start + (peak - self.warmup_start) * step / max(warmup - 1.0, 1.0)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this schedule again."""
        return {
            "base_rate": self.base_rate,
            "batch_size": self.batch_size,
            "steps_per_epoch": self.steps_per_epoch,
            "epochs": self.epochs,
            "warmup_epochs": self.warmup_epochs,
            "warmup_start": self.warmup_start,
            "final_scale": self.final_scale,
            "first_step": self.first_step,
            "name": self.name,
        }
