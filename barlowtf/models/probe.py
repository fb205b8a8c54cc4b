"""A linear classifier on an encoder, trained alone or with it."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from barlowtf.distribute.collectives import all_reduce_sum
from barlowtf.models.compiling import resolve_jit_compile
from barlowtf.models.gradient_tape import gradient_tape

_HEAD_DEVIATION = 0.01


def make_head(feature_width: int, class_count: int, *, seed: int = 0) -> keras.Model:
    """Returns the classifier: features float [N, d] -> logits float32 [N, K].

    Args:
        feature_width: Width d of the features.
        class_count: Number of classes K, >= 2.
        seed: Seed of the weights, N(0, 0.01); biases start at 0.

    Raises:
        ValueError: Fewer than two classes.

    Source: facebookresearch/barlowtwins evaluate.py, model.fc.
    """
    if class_count < 2:
        raise ValueError(f"Invalid class_count: received {class_count}, expected at least 2.")
    features = keras.Input((feature_width,), dtype="float32", name="features")
    initializer = keras.initializers.RandomNormal(stddev=_HEAD_DEVIATION, seed=seed)
    logits = keras.layers.Dense(class_count, kernel_initializer=initializer, dtype="float32", name="fc")(features)
    return keras.Model(features, logits, name="head")


class Probe(keras.Model):
    """Trains a head by cross-entropy on (images, labels), and the encoder with it unless it is frozen.

    Works with `compile`, `fit` and `evaluate`, and with `strategy.run(model.training_logs, args=(batch,))`.
    """

    def __init__(
        self,
        encoder: keras.Model,
        head: keras.Model,
        *,
        frozen: bool,
        prepare: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
        **kwargs: Any,
    ) -> None:
        """Joins the parts.

        Args:
            encoder: Normalized images [n, H, W, C] -> features [n, d].
            head: Features [n, d] -> logits [n, K], float32.
            frozen: Whether the encoder stays as it is, in inference mode; otherwise it trains, on batch statistics.
            prepare: Turns what a batch holds into normalized images; runs on the device.
            **kwargs: Passed to `keras.Model`.

        Raises:
            ValueError: Encoder and head have different widths.
        """
        if encoder.output_shape[-1] != head.input_shape[-1]:
            raise ValueError(
                f"Invalid head: received width {head.input_shape[-1]} for an encoder of width "
                f"{encoder.output_shape[-1]}, expected the same width."
            )
        super().__init__(**kwargs)
        self.encoder, self.head, self.frozen, self.prepare = encoder, head, frozen, prepare
        encoder.trainable = not frozen
        self._means = {name: keras.metrics.Mean(name=name) for name in ("loss", "accuracy")}
        self.built = True

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns logits, float32 [n, K]."""
        features = self.encoder(self.prepare(images), training=training and not self.frozen)
        return self.head(tf.cast(features, tf.float32), training=training)

    def compile(self, *args: Any, jit_compile: bool | str = "auto", **options: Any) -> None:
        """Prepares for `fit` and `evaluate`, as every Keras model; "auto": see `resolve_jit_compile`."""
        super().compile(*args, jit_compile=resolve_jit_compile(jit_compile), **options)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Means of loss and accuracy, over the images since the epoch or evaluation began."""
        return list(self._means.values())

    def train_step(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Makes one update for `fit`; returns means of loss and accuracy over the epoch's images so far."""
        return self._update_means(self.training_logs(data), data)

    def test_step(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Measures a batch in inference mode, for `evaluate`; returns means over the images so far."""
        _, loss, accuracy = self._measure(data, training=False)
        return self._update_means({"loss": loss, "accuracy": accuracy}, data)

    def _update_means(self, logs: dict[str, tf.Tensor], data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        for name, mean in self._means.items():
            mean.update_state(logs[name], sample_weight=tf.shape(data[1])[0])
        return {name: mean.result() for name, mean in self._means.items()}

    def training_logs(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Makes one update from this replica's share of the batch.

        Args:
            data: Images as `prepare` takes them, [n, H, W, C], and labels, integers [n]. Shares may differ in size.

        Returns:
            float32 scalars: loss, the mean cross-entropy of the global batch; accuracy, the share of its images whose
            class has the highest logit; first_nonfinite, 0 where the loss is not finite, else -1.
        """
        variables = self.trainable_variables
        with gradient_tape() as tape:
            share, loss, accuracy = self._measure(data, training=True)
        self.optimizer.apply(tape.gradient(share, variables), variables)
        finite = tf.math.is_finite(loss)
        return {"loss": loss, "accuracy": accuracy, "first_nonfinite": tf.where(finite, -1.0, 0.0)}

    def _measure(self, data: tuple[tf.Tensor, tf.Tensor], *, training: bool) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns this replica's share of the global loss, the loss and the accuracy of the global batch."""
        images, labels = data
        count = all_reduce_sum(tf.cast(tf.shape(labels)[0], tf.float32))
        logits = self(images, training=training)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        # A share of the global mean: Keras sums the replicas' gradients.
        share = tf.reduce_sum(losses) / count
        right = tf.cast(tf.argmax(logits, axis=1, output_type=labels.dtype) == labels, tf.float32)
        loss, accuracy = tf.unstack(all_reduce_sum(tf.stack([share, tf.reduce_sum(right) / count])))
        return share, loss, accuracy

    @property
    def checked_names(self) -> list[str]:
        """Names of the tensors that `first_nonfinite` counts."""
        return ["loss"]
