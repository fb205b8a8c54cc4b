"""Encoder, projector and loss as one trainable Keras model."""

from typing import Any

import keras
import tensorflow as tf

from barlowtf.distribute.collectives import replica_count
from barlowtf.losses import barlow_twins_loss


@keras.saving.register_keras_serializable(package="barlowtf")
class BarlowTwins(keras.Model):
    """Trains an encoder and a projector on pairs of views of the same images.

    Works with `compile` and `fit`, and with `strategy.run(model.train_step, args=(batch,))`.
    """

    def __init__(
        self,
        encoder: keras.Model,
        projector: keras.Model,
        *,
        lambd: float = 0.0051,
        form: str = "auto",
        augment: keras.layers.Layer | None = None,
        gradient_scale: float = 1.0,
        **kwargs: Any,
    ) -> None:
        """Joins the parts.

        Args:
            encoder: Images float32 [n, H, W, C] -> features [n, d].
            projector: Features [n, d] -> embeddings [n, D].
            lambd: Weight of the redundancy term, >= 0. Default: the authors' code.
            form: Form of the loss, see `barlow_twins_loss`.
            augment: None: a batch is the pair (view a, view b), used as it is. A layer: a batch is (crops a, crops b,
                seeds), which the layer turns into the two views.
            gradient_scale: Factor on every gradient, > 0. 1/W repeats the authors' averaging over W devices, which
                reaches biases and normalization parameters but not the LARS-scaled weights.
            **kwargs: Of `keras.Model`.
        """
        super().__init__(**kwargs)
        self.encoder = encoder
        self.projector = projector
        self.augment = augment
        self.lambd = lambd
        self.form = form
        self.gradient_scale = gradient_scale
        self.built = True

    def call(self, images: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the embeddings, [n, D], of normalized images, float32 [n, H, W, C]."""
        return self.projector(self.encoder(images, training=training), training=training)

    def train_step(self, data: tuple[tf.Tensor, ...]) -> dict[str, tf.Tensor]:
        """Takes one optimizer step on this replica's share of the global batch.

        Args:
            data: (view a, view b), float32 [n, H, W, C]; with an augment layer its input (crops a, crops b, seeds).

        Returns:
            float32 scalars: loss, invariance and redundancy of the global batch; gradient_norm; first_nonfinite, the
            index into `checked_names` of the first tensor that is not finite, -1 when all are.
        """
        view_a, view_b = data if self.augment is None else self.augment(data)
        with tf.GradientTape() as tape:
            # One view after the other: the batch statistics of the two stay apart.
            z_a, z_b = self(view_a, training=True), self(view_b, training=True)
            terms = barlow_twins_loss(z_a, z_b, lambd=self.lambd, form=self.form)
            # Keras sums gradients over replicas, and each replica holds the loss of the global batch.
            share = terms.total * (self.gradient_scale / replica_count())
        gradients = tape.gradient(share, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        sums = tf.stack([_square_sum(g) for g in gradients])
        return {
            "loss": terms.total,
            "invariance": terms.invariance,
            "redundancy": terms.redundancy,
            "gradient_norm": tf.sqrt(tf.reduce_sum(sums)),
            "first_nonfinite": _first_nonfinite([view_a, view_b, z_a, z_b, terms.total], sums),
        }

    @property
    def checked_names(self) -> list[str]:
        """Names of the tensors that `first_nonfinite` counts, in the order in which a step makes them."""
        inputs = ["images of view a", "images of view b", "embeddings of view a", "embeddings of view b", "loss"]
        return inputs + [f"gradient of {variable.path}" for variable in self.trainable_variables]

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` needs."""
        parts = {
            name: keras.saving.serialize_keras_object(getattr(self, name))
            for name in ("encoder", "projector", "augment")
        }
        settings = {"lambd": self.lambd, "form": self.form, "gradient_scale": self.gradient_scale}
        return {"name": self.name, **parts, **settings}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> "BarlowTwins":
        """Returns the model of a `get_config` result."""
        parts = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in ("encoder", "projector", "augment")
        }
        return cls(**{**config, **parts})


def _square_sum(tensor: tf.Tensor) -> tf.Tensor:
    # l2_loss, not a sum of squares: one pass over the memory, no squared copy.
    return 2.0 * tf.nn.l2_loss(tf.cast(tensor, tf.float32))


def _first_nonfinite(tensors: list[tf.Tensor], gradient_sums: tf.Tensor) -> tf.Tensor:
    """Returns the index of the first entry that is not finite, -1.0 when all are, float32 []."""
    forward = tf.stack([tf.reduce_all(tf.math.is_finite(tensor)) for tensor in tensors])
    bad = tf.logical_not(tf.concat([forward, tf.math.is_finite(gradient_sums)], axis=0))
    first = tf.cast(tf.argmax(tf.cast(bad, tf.int32)), tf.float32)
    return tf.where(tf.reduce_any(bad), first, -1.0)
