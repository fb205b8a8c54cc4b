"""LAMB with weight decay inside the trust ratio, as its paper and TensorFlow Addons have it."""

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="barlowtf")
class LAMB(keras.optimizers.Optimizer):
    """Adam's direction, scaled for each variable by the ratio of the norms of variable and update.

    Letters: p parameter, g gradient, m and v Adam's moments, t the step from 1, w decay; all state is float32.

    m = beta_1 * m + (1 - beta_1) * g;  v = beta_2 * v + (1 - beta_2) * g^2;
    d = (m / (1 - beta_1^t)) / (sqrt(v / (1 - beta_2^t)) + epsilon) + w * p;
    p = p - learning_rate * (|p| / |d|) * d, the ratio being 1 where a norm is 0.

    Differs from `keras.optimizers.Lamb` in the decay, which Keras takes from p outside the ratio.

    Args:
        learning_rate: A float, a keras schedule, or a callable without arguments.
        weight_decay: w, >= 0.
        beta_1: Decay of the first moment, in [0, 1).
        beta_2: Decay of the second moment, in [0, 1).
        epsilon: Added to the root of the second moment, > 0. Default: TensorFlow Addons.
        decay_biases: Whether biases and normalization parameters (rank <= 1) decay too. Default: TensorFlow Addons.
        name: Name of the optimizer.

    Raises:
        ValueError: An argument is out of its range.

    Source: You et al., arXiv:1904.00962, algorithm 2; tensorflow_addons 0.23.0, optimizers/lamb.py.
    """

    def __init__(
        self,
        learning_rate: Any,
        *,
        weight_decay: float = 0.0,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        decay_biases: bool = True,
        name: str = "lamb",
    ) -> None:
        """Stores the settings; see the class."""
        if not weight_decay >= 0:
            raise ValueError(f"Invalid weight_decay: received {weight_decay}, expected a number >= 0.")
        for label, beta in (("beta_1", beta_1), ("beta_2", beta_2)):
            if not 0 <= beta < 1:
                raise ValueError(f"Invalid {label}: received {beta}, expected a number in [0, 1).")
        if not epsilon > 0:
            raise ValueError(f"Invalid epsilon: received {epsilon}, expected a number > 0.")
        # Keras would decouple a weight_decay of its own; here decay belongs inside the trust ratio.
        super().__init__(learning_rate=learning_rate, weight_decay=None, name=name)
        self.coupled_weight_decay = weight_decay
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.decay_biases = decay_biases

    def build(self, variables: list[keras.Variable]) -> None:
        """Makes the state: two float32 moments for each variable.

        Not by `add_optimizer_variables`, which gives state the dtype of its variable.
        """
        if self.built:
            return
        super().build(variables)
        self._first_moments = self._moments(variables, "first_moment")
        self._second_moments = self._moments(variables, "second_moment")

    def _moments(self, variables: list[keras.Variable], name: str) -> list[keras.Variable]:
        flat = [getattr(variable, "path", variable.name).replace("/", "_").replace(":", "_") for variable in variables]
        return [
            self.add_variable(variable.shape, "zeros", "float32", name=f"{label}_{name}")
            for label, variable in zip(flat, variables, strict=True)
        ]

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: Any) -> None:
        """Updates one variable and its state; called by Keras for each, with the sum of the replicas' gradients."""
        index = self._get_variable_index(variable)
        first, second = self._first_moments[index].value, self._second_moments[index].value
        gradient = tf.cast(tf.convert_to_tensor(gradient), tf.float32)
        parameter = tf.cast(tf.convert_to_tensor(variable), tf.float32)
        m = self.beta_1 * first + (1.0 - self.beta_1) * gradient
        v = self.beta_2 * second + (1.0 - self.beta_2) * tf.square(gradient)
        first.assign(m)
        second.assign(v)
        step = tf.cast(self.iterations + 1, tf.float32)
        direction = (m / (1.0 - self.beta_1**step)) / (tf.sqrt(v / (1.0 - self.beta_2**step)) + self.epsilon)
        if self.coupled_weight_decay and (self.decay_biases or len(variable.shape) > 1):
            direction = direction + self.coupled_weight_decay * parameter
        rate = tf.cast(learning_rate, tf.float32) * _norm_ratio(parameter, direction)
        variable.assign(tf.cast(parameter - rate * direction, variable.dtype))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this optimizer again, without its state."""
        base = super().get_config()
        return {
            "learning_rate": base["learning_rate"],
            "weight_decay": self.coupled_weight_decay,
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "decay_biases": self.decay_biases,
            "name": base["name"],
        }


def _norm_ratio(parameter: tf.Tensor, direction: tf.Tensor) -> tf.Tensor:
    """|parameter| / |direction|, a float32 scalar; 1 where either norm is 0."""
    parameter_norm = tf.sqrt(2.0 * tf.nn.l2_loss(parameter))
    direction_norm = tf.sqrt(2.0 * tf.nn.l2_loss(direction))
    both = (parameter_norm > 0.0) & (direction_norm > 0.0)
    return tf.where(both, parameter_norm / tf.where(both, direction_norm, 1.0), 1.0)
