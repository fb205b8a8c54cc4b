"""A rate that rises along a line and drops at given steps."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="barlowtf")
class WarmupSteps(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then a constant rate that drops by a factor after some steps.

    Letters: W steps of warm-up, f its first share, s the step.

    rate * min(f + (1 - f) * s / W, 1) * factor ** (number of drops <= s); without warm-up, W = 0, the middle is 1.

    Args:
        rate: Rate behind the warm-up, > 0.
        warmup_steps: W, >= 0.
        drops: Steps from which on the rate is lower, rising.
        factor: Of each drop, > 0.
        warmup_share: f, in [0, 1].

    Raises:
        ValueError: An argument is out of its range.

    Source: facebookresearch/detectron2 solver/lr_scheduler.py, WarmupMultiStepLR with the linear method.
    """

    def __init__(
        self,
        rate: float,
        *,
        warmup_steps: int,
        drops: Sequence[int] = (),
        factor: float = 0.1,
        warmup_share: float = 0.001,
    ) -> None:
        """Stores the settings; see the class."""
        if not rate > 0 or warmup_steps < 0 or not factor > 0 or not 0 <= warmup_share <= 1:
            raise ValueError(
                f"Invalid schedule: received rate {rate}, warmup_steps {warmup_steps}, factor {factor}, warmup_share "
                f"{warmup_share}, expected rate > 0, warmup_steps >= 0, factor > 0 and warmup_share in [0, 1]."
            )
        if list(drops) != sorted(drops):
            raise ValueError(f"Invalid drops: received {list(drops)}, expected rising steps.")
        super().__init__()
        self.rate, self.warmup_steps, self.drops = rate, warmup_steps, tuple(drops)
        self.factor, self.warmup_share = factor, warmup_share

    def __call__(self, step: Any) -> tf.Tensor:
        """Rate after `step` updates, float32 []."""
        step = tf.cast(tf.convert_to_tensor(step), tf.float32)
        passed = tf.reduce_sum(tf.cast(step >= tf.constant(self.drops, tf.float32), tf.float32))
        rate = self.rate * tf.pow(self.factor, passed)
        if not self.warmup_steps:
            return rate
        rise = self.warmup_share + (1.0 - self.warmup_share) * step / self.warmup_steps
        return rate * tf.minimum(rise, 1.0)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this schedule again."""
        return {
            "rate": self.rate,
            "warmup_steps": self.warmup_steps,
            "drops": list(self.drops),
            "factor": self.factor,
            "warmup_share": self.warmup_share,
        }
