"""The recipe's optimizer."""

from typing import Any

import keras
import tensorflow as tf

from barlowtf.config import optimizers as settings_of
from barlowtf.optim.lamb import LAMB
from barlowtf.optim.lars import LARS
from barlowtf.optim.momentum import MomentumSGD
from barlowtf.optim.schedules import WarmupCosine


@keras.saving.register_keras_serializable(package="barlowtf")
class AdamW(keras.optimizers.AdamW):
    """Keras' AdamW whose decay leaves out biases and normalization parameters (rank <= 1)."""

    # Indices of the variables whose first update comes late, and how late.
    _delayed: frozenset[int] = frozenset()
    _delay = 0

    def build(self, variables: list[keras.Variable]) -> None:
        """Makes the state, once the variables are known and the biases among them can be named."""
        if not self.built:
            self.exclude_from_weight_decay(var_list=_biases(variables))
        super().build(variables)

    def delay(self, variables: list[keras.Variable], updates: int) -> None:
        """Has the bias correction of some variables count from an update that is their first.

        Their moments are zero until then. Counted with the others, their first steps would be up to 6.6 times as long.

        Args:
            variables: Some of those that the optimizer was built with.
            updates: Number of updates of the others before their first, >= 0.
        """
        self._delayed, self._delay = frozenset(self._get_variable_index(variable) for variable in variables), updates

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: Any) -> None:
        """Updates one variable and its state; called by Keras for each, with the sum of the replicas' gradients."""
        if self._delay and self._get_variable_index(variable) in self._delayed:
            updates = tf.cast(self.iterations + 1, tf.float32)
            learning_rate *= self._correction(updates - self._delay) / self._correction(updates)
        super().update_step(gradient, variable, learning_rate)

    def _correction(self, updates: tf.Tensor) -> tf.Tensor:
        return tf.sqrt(1.0 - self.beta_2**updates) / (1.0 - self.beta_1**updates)


@keras.saving.register_keras_serializable(package="barlowtf")
class SGD(keras.optimizers.SGD):
    """Keras' SGD whose decay, apart from the gradient, leaves out biases and normalization parameters (rank <= 1)."""

    def build(self, variables: list[keras.Variable]) -> None:
        """Makes the state, once the variables are known and the biases among them can be named."""
        if not self.built:
            self.exclude_from_weight_decay(var_list=_biases(variables))
        super().build(variables)


def make_optimizer(
    settings: settings_of.Optimizer, *, batch_size: int, steps_per_epoch: int, epochs: int, first_step: int = 0
) -> keras.optimizers.Optimizer:
    """The optimizer of a recipe, with its schedules.

    Weight decay acts inside the trust ratio for "lars" and "lamb", apart from the gradient for "adamw" and "sgd", and
    not on biases and normalization parameters (rank <= 1); for "torch_sgd" it is a part of every parameter's gradient.
    `settings.gradient_scale` is applied by the training step.

    Args:
        settings: The recipe's table `optimizer`.
        batch_size: Global batch, images per step, >= 1; rates grow with batch_size / 256.
        steps_per_epoch: Steps in one epoch, >= 1.
        epochs: Length of the run, above `settings.warmup_epochs`.
        first_step: Updates that the optimizer has made before the run's first, >= 0: the schedule begins there.

    Returns:
        A new optimizer; make it inside the strategy's scope.

    Raises:
        ValueError: A length is out of its range.
    """

    def schedule(rate: float) -> WarmupCosine:
        return WarmupCosine(
            rate,
            batch_size=batch_size,
            steps_per_epoch=steps_per_epoch,
            epochs=epochs,
            warmup_epochs=settings.warmup_epochs,
            warmup_start=settings.warmup_start,
            final_scale=settings.final_scale,
            first_step=first_step,
        )

    rate: Any = schedule(settings.learning_rate)
    decay = settings.weight_decay
    match settings:
        case settings_of.LARS():
            bias_rate = None if settings.bias_learning_rate is None else schedule(settings.bias_learning_rate)
            options = settings.model_dump(include={"momentum", "eta", "clip"})
            return LARS(rate, bias_rate, weight_decay=decay, **options)
        case settings_of.LAMB():
            return LAMB(rate, weight_decay=decay, decay_biases=False)
        case settings_of.AdamW():
            return AdamW(rate, weight_decay=decay)
        case settings_of.SGD():
            return SGD(rate, momentum=settings.momentum, weight_decay=decay)
        case settings_of.TorchSGD():
            return MomentumSGD(rate, momentum=settings.momentum, weight_decay=decay)


def _biases(variables: list[keras.Variable]) -> list[keras.Variable]:
    return [variable for variable in variables if len(variable.shape) <= 1]
