"""SGD as PyTorch has it: the rate outside the momentum buffer, decay in the gradient, and rates by the epoch."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import tensorflow as tf


def epoch_rates(
    rate: float, *, epochs: int, schedule: str, drop_epochs: Iterable[int] = (), drop_factor: float = 0.1
) -> tuple[float, ...]:
    """Returns the learning rate of each epoch.

    1. "cosine": rate * (1 + cos(pi * e / epochs)) / 2 in epoch e = 0, 1, ...; 0 would come after the last one.
    2. "steps": rate * drop_factor ** (number of `drop_epochs` <= e).

    Raises:
        ValueError: Unknown schedule.

    Source: facebookresearch/barlowtwins evaluate.py (CosineAnnealingLR, stepped once an epoch).
    """
    if schedule == "cosine":
        return tuple(rate * (1.0 + math.cos(math.pi * epoch / epochs)) / 2.0 for epoch in range(epochs))
    if schedule == "steps":
        drops = list(drop_epochs)
        return tuple(rate * drop_factor ** sum(drop <= epoch for drop in drops) for epoch in range(epochs))
    raise ValueError(f'Invalid schedule: received "{schedule}", expected "cosine" or "steps".')


@keras.saving.register_keras_serializable(package="barlowtf")
class EpochSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that changes with the epoch alone.

    Args:
        rates: Rate of each epoch, >= 0; the last one stays.
        steps_per_epoch: >= 1.

    Raises:
        ValueError: There is no rate, or no step.
    """

    def __init__(self, rates: Sequence[float], steps_per_epoch: int) -> None:
        """Stores the settings; see the class."""
        if not len(rates) or steps_per_epoch < 1:
            raise ValueError(
                f"Invalid rates: received {len(rates)} and {steps_per_epoch} steps per epoch, expected at least 1 each."
            )
        super().__init__()
        self.rates, self.steps_per_epoch = tuple(float(rate) for rate in rates), steps_per_epoch

    def __call__(self, step: Any) -> tf.Tensor:
        """Rate after `step` updates, float32 []."""
        epoch = tf.cast(tf.convert_to_tensor(step), tf.int64) // self.steps_per_epoch
        return tf.gather(tf.constant(self.rates, tf.float32), tf.minimum(epoch, len(self.rates) - 1))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this schedule again."""
        return {"rates": list(self.rates), "steps_per_epoch": self.steps_per_epoch}


@keras.saving.register_keras_serializable(package="barlowtf")
class MomentumSGD(keras.optimizers.Optimizer):
    """Stochastic gradient descent with momentum, as `torch.optim.SGD`.

    Letters: p parameter, g gradient, mu momentum buffer, w decay, m momentum, f factor.

    mu = m * mu + g + w * p;  p = p - learning_rate * f * mu.

    Differs from `keras.optimizers.SGD`, whose buffer holds the rate and whose decay is apart from the gradient: the two
    part as soon as the rate changes.

    Args:
        learning_rate: A float or a schedule.
        momentum: m, in [0, 1).
        weight_decay: w, >= 0, of every parameter, as in PyTorch.
        undecayed: Paths of the variables whose w is 0.
        factors: f by a variable's path: the share of the learning rate that it has; 1 where it is not named.
        name: Name of the optimizer.

    Raises:
        ValueError: An argument is out of its range.

    Source: PyTorch's documentation of torch.optim.SGD.
    """

    def __init__(
        self,
        learning_rate: Any,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        undecayed: Iterable[str] = (),
        factors: dict[str, float] | None = None,
        name: str = "momentum_sgd",
    ) -> None:
        """Stores the settings; see the class."""
        if not 0 <= momentum < 1:
            raise ValueError(f"Invalid momentum: received {momentum}, expected a number in [0, 1).")
        if not weight_decay >= 0:
            raise ValueError(f"Invalid weight_decay: received {weight_decay}, expected a number >= 0.")
        # Keras would decouple a weight_decay of its own.
        super().__init__(learning_rate=learning_rate, weight_decay=None, name=name)
        self.momentum, self.coupled_weight_decay, self.factors = momentum, weight_decay, dict(factors or {})
        self.undecayed = tuple(undecayed)

    def build(self, variables: list[keras.Variable]) -> None:
        """Makes one buffer for each variable, float32 as the variables are."""
        if self.built:
            return
        super().build(variables)
        self._rate_factors = [self.factors.get(variable.path, 1.0) for variable in variables]
        self._decays = [0.0 if variable.path in self.undecayed else self.coupled_weight_decay for variable in variables]
        self._buffers = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: Any) -> None:
        """Updates one variable and its buffer; called by Keras for each, with the sum of the replicas' gradients."""
        index = self._get_variable_index(variable)
        gradient = tf.cast(tf.convert_to_tensor(gradient), tf.float32)
        if self._decays[index]:
            gradient = gradient + self._decays[index] * tf.cast(tf.convert_to_tensor(variable), tf.float32)
        tf.raw_ops.ResourceApplyMomentum(
            var=variable.handle,
            accum=self._buffers[index].value.handle,
            lr=tf.cast(learning_rate, tf.float32) * self._rate_factors[index],
            grad=gradient,
            momentum=self.momentum,
        )

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this optimizer again, without its state."""
        base = super().get_config()
        return {
            "learning_rate": base["learning_rate"],
            "momentum": self.momentum,
            "weight_decay": self.coupled_weight_decay,
            "undecayed": list(self.undecayed),
            "factors": self.factors,
            "name": base["name"],
        }
