"""The recipe's optimizer."""

from typing import Any

import keras

from barlowtf.config import optimizers as settings_of
from barlowtf.optim.lamb import LAMB
from barlowtf.optim.lars import LARS
from barlowtf.optim.schedules import WarmupCosine


@keras.saving.register_keras_serializable(package="barlowtf")
class AdamW(keras.optimizers.AdamW):
    """Keras' AdamW whose decay leaves out biases and normalization parameters (rank <= 1)."""

    def build(self, variables: list[keras.Variable]) -> None:
        """Makes the state, once the variables are known and the biases among them can be named."""
        if not self.built:
            self.exclude_from_weight_decay(var_list=_biases(variables))
        super().build(variables)


@keras.saving.register_keras_serializable(package="barlowtf")
class SGD(keras.optimizers.SGD):
    """Keras' SGD whose decay, apart from the gradient, leaves out biases and normalization parameters (rank <= 1)."""

    def build(self, variables: list[keras.Variable]) -> None:
        """Makes the state, once the variables are known and the biases among them can be named."""
        if not self.built:
            self.exclude_from_weight_decay(var_list=_biases(variables))
        super().build(variables)


def make_optimizer(
    settings: settings_of.Optimizer, *, batch_size: int, steps_per_epoch: int, epochs: int
) -> keras.optimizers.Optimizer:
    """The optimizer of a recipe, with its schedules.

    Weight decay acts inside the trust ratio for "lars" and "lamb", apart from the gradient for "adamw" and "sgd", and
    never on biases and normalization parameters (rank <= 1). `settings.gradient_scale` is applied by the training step.

    Args:
        settings: The recipe's table `optimizer`.
        batch_size: Global batch, images per step, >= 1; rates grow with batch_size / 256.
        steps_per_epoch: Steps in one epoch, >= 1.
        epochs: Length of the run, above `settings.warmup_epochs`.

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


def _biases(variables: list[keras.Variable]) -> list[keras.Variable]:
    return [variable for variable in variables if len(variable.shape) <= 1]
