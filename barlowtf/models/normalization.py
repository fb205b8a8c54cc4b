"""Batch normalization over the global batch: the fused kernel on one replica, synchronized moments on several."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from barlowtf.distribute import all_gather, all_reduce_sum, replica_count

EPSILON = 1e-5
MOMENTUM = 0.9

# The statistics of a step are equal on all replicas, so each keeps its own copy up to date without talking to the
# others, and any one copy is the value to save.
_STATISTIC = {"trainable": False, "synchronization": "on_read", "aggregation": "only_first_replica"}


def fused_normalization(
    x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float = EPSILON
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalizes a batch by its own moments with TensorFlow's fused kernel.

    Args:
        x: float32, bfloat16 or float16 [n, H, W, C].
        gamma: float32 [C].
        beta: float32 [C].
        epsilon: Added to the variance, > 0.

    Returns:
        Normalized batch, dtype and shape of `x`; mean, float32 [C]; unbiased variance, float32 [C].
    """
    # The kernel itself: tf.compat.v1.nn.fused_batch_norm calls it with the same epsilon and leaves out nothing we need.
    output = tf.raw_ops.FusedBatchNormV3(x=x, scale=gamma, offset=beta, mean=[], variance=[], epsilon=epsilon)
    return output.y, output.batch_mean, output.batch_variance


def synchronized_normalization(
    x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float = EPSILON
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalizes a batch by the moments of the global batch, with its gradient.

    Letters: c_r, m_r, v_r count, mean and biased variance of replica r's share, N = Σ c_r. Then the global mean is
    m = Σ c_r m_r / N and the global biased variance v = Σ c_r (v_r + (m_r - m)²) / N: one gather, and no cancellation.

    With x̂ = (x - m) / √(v + ε) and g the incoming gradient, the gradient with respect to x is
    γ / √(v + ε) · (g - Σg / N - x̂ Σ(g x̂) / N), the sums over the global batch: one all-reduce. Those of γ and β are
    this replica's shares, as of every other weight.

    Args:
        x: float [n, H, W, C], this replica's share of the global batch; n may differ between replicas. Computed in
            float64 where `x` is, in float32 otherwise.
        gamma: float32 [C].
        beta: float32 [C].
        epsilon: ε, added to the variance, > 0.

    Returns:
        Normalized share, dtype and shape of `x`; mean, float32 [C], and unbiased variance, float32 [C], of the global
        batch, equal on all replicas. The moments are for running statistics: no gradient passes through them.

    Source: arXiv:1502.03167, algorithm 1, over the global batch.
    """

    @tf.custom_gradient
    def normalization(
        x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor
    ) -> tuple[tuple[tf.Tensor, tf.Tensor, tf.Tensor], Callable[..., Any]]:
        return _synchronized(x, gamma, beta, epsilon)

    return normalization(x, gamma, beta)


def _synchronized(
    x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float
) -> tuple[tuple[tf.Tensor, tf.Tensor, tf.Tensor], Callable[..., Any]]:
    """Returns the result of `synchronized_normalization` and the function of its gradient."""
    axes = list(range(x.shape.rank - 1))
    wide = tf.float64 if x.dtype == tf.float64 else tf.float32
    x_wide, gamma_wide, beta_wide = (tf.cast(tensor, wide) for tensor in (x, gamma, beta))
    count = tf.cast(tf.reduce_prod(tf.shape(x)[:-1]), wide)
    # An empty share, the last of an uneven batch, has count 0 and must not give 0 / 0.
    share_mean = tf.math.divide_no_nan(tf.reduce_sum(x_wide, axes), count)
    share_variance = tf.math.divide_no_nan(tf.reduce_sum(tf.math.squared_difference(x_wide, share_mean), axes), count)
    shares = all_gather(tf.stack([tf.broadcast_to(count, share_mean.shape), share_mean, share_variance])[None])
    counts, means, variances = tf.unstack(shares, axis=1)  # each [R, C]
    total = tf.reduce_sum(counts, axis=0)
    mean = tf.reduce_sum(counts * means, axis=0) / total
    variance = tf.reduce_sum(counts * (variances + tf.math.squared_difference(means, mean)), axis=0) / total
    scale = tf.math.rsqrt(variance + epsilon)

    def gradient(upstream: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        upstream_wide = tf.cast(upstream, wide)
        normalized = (tf.cast(x, wide) - mean) * scale
        d_beta = tf.reduce_sum(upstream_wide, axes)
        d_gamma = tf.reduce_sum(upstream_wide * normalized, axes)
        global_beta, global_gamma = tf.unstack(all_reduce_sum(tf.stack([d_beta, d_gamma])) / total)
        d_x = gamma_wide * scale * (upstream_wide - global_beta - normalized * global_gamma)
        return tf.cast(d_x, x.dtype), tf.cast(d_gamma, gamma.dtype), tf.cast(d_beta, beta.dtype)

    y = (x_wide - mean) * (scale * gamma_wide) + beta_wide
    unbiased = variance * total / tf.maximum(total - 1.0, 1.0)
    return (tf.cast(y, x.dtype), tf.cast(mean, tf.float32), tf.cast(unbiased, tf.float32)), gradient


@keras.saving.register_keras_serializable(package="barlowtf")
class BatchNormalization(keras.layers.Layer):
    """Batch normalization with PyTorch's constants: epsilon 1e-5, momentum 0.9 in Keras' terms (0.1 in PyTorch's).

    Another epsilon is for encoders whose published weights were trained with it.

    Gamma, beta and the running statistics are float32 whatever the policy. While training, the moments are those of the
    global batch: on one replica by the fused kernel, on several by one gather. A float64 policy, for which there is no
    fused kernel, normalizes in float64 by separate operations. The running variance follows the unbiased variance of
    the batch, as in PyTorch; Keras' own layer takes the biased one. As in Keras, a layer with `trainable = False`
    normalizes by its running statistics.

    Inputs are float [n, H, W, C] or [n, D]; the output has the policy's compute dtype.
    """

    def __init__(self, *, gamma_initializer: Any = "ones", epsilon: float = EPSILON, **layer_options: Any) -> None:
        """Makes the layer.

        Args:
            gamma_initializer: Keras initializer of gamma; "zeros" for the last normalization of a residual block.
            epsilon: Added to the variance, > 0.
            **layer_options: `name`, `dtype` and `trainable`, as of every Keras layer.
        """
        super().__init__(**layer_options)
        self.gamma_initializer = keras.initializers.get(gamma_initializer)
        self.epsilon = epsilon

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes gamma, beta, moving_mean and moving_variance, each float32 [C].

        Raises:
            ValueError: The input is neither [n, H, W, C] nor [n, D], or its last axis is unknown.
        """
        if len(input_shape) not in (2, 4) or input_shape[-1] is None:
            raise ValueError(
                f"Invalid inputs: received shape {input_shape}, expected [n, H, W, C] or [n, D] with C or D known."
            )
        shape = (input_shape[-1],)
        self.gamma = self._variable(shape, self.gamma_initializer, "gamma")
        self.beta = self._variable(shape, "zeros", "beta")
        self.moving_mean = self._variable(shape, "zeros", "moving_mean", **_STATISTIC)
        self.moving_variance = self._variable(shape, "ones", "moving_variance", **_STATISTIC)

    @staticmethod
    def _variable(shape: tuple[int, ...], initializer: Any, name: str, **options: Any) -> keras.Variable:
        # Not add_weight, which cannot say how a statistic is kept on several replicas.
        initializer = keras.initializers.get(initializer)
        return keras.Variable(initializer, shape=shape, dtype="float32", autocast=False, name=name, **options)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Normalized inputs, same shape; updates the running statistics when training."""
        flat = len(inputs.shape) == 2
        x = inputs[:, None, None, :] if flat else inputs  # [n, D] -> [n, 1, 1, D]
        y = self._by_batch(x) if training and self.trainable else self._by_running_statistics(x)
        return y[:, 0, 0, :] if flat else y

    def _by_batch(self, x: tf.Tensor) -> tf.Tensor:
        fused = replica_count() == 1 and x.dtype != tf.float64
        normalize = fused_normalization if fused else synchronized_normalization
        gamma, beta = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        y, mean, variance = normalize(x, gamma, beta, self.epsilon)
        self.moving_mean.assign(self.moving_mean * MOMENTUM + mean * (1.0 - MOMENTUM))
        self.moving_variance.assign(self.moving_variance * MOMENTUM + variance * (1.0 - MOMENTUM))
        return y

    def _by_running_statistics(self, x: tf.Tensor) -> tf.Tensor:
        weights = (self.gamma, self.beta, self.moving_mean, self.moving_variance)
        gamma, beta, mean, variance = (tf.convert_to_tensor(weight) for weight in weights)
        if x.dtype == tf.float64:
            gamma, beta, mean, variance = (tf.cast(value, tf.float64) for value in (gamma, beta, mean, variance))
            return tf.nn.batch_normalization(x, mean, variance, beta, gamma, self.epsilon)
        return tf.raw_ops.FusedBatchNormV3(
            x=x, scale=gamma, offset=beta, mean=mean, variance=variance, epsilon=self.epsilon, is_training=False
        ).y

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the inputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this layer again."""
        gamma_initializer = keras.initializers.serialize(self.gamma_initializer)
        return {**super().get_config(), "gamma_initializer": gamma_initializer, "epsilon": self.epsilon}
