"""Encoder, projector and loss as one trainable Keras model."""

import itertools
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from barlowtf.distribute.collectives import replica_count
from barlowtf.losses import LossTerms, barlow_twins_loss
from barlowtf.models import micro_batches


class _Differentiated(NamedTuple):
    """A batch's loss, its gradients by the trainable variables, and whether each input of the loss was finite."""

    terms: LossTerms
    gradients: list[tf.Tensor]
    finite: list[tf.Tensor]  # bool []: images of view a and b, embeddings of view a and b


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
        micro_batch: int | None = None,
        pairs: int = 1,
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
            micro_batch: None: the whole batch goes through the encoder at once. m >= 1: so many images at a time, on
                one replica, in the memory of m; takes about a third more time. Loss, projector and every gradient are
                those of the whole batch. Batch statistics in the *encoder* are those of m images, and its running
                statistics move once a micro-batch; where they are frozen the step equals that of the whole batch.
            pairs: P >= 1: pairs of views of each image in a batch, the first pair of all images first. The loss is the
                mean over all P (2P - 1) pairs that 2P views make; P = 1 is the paper's. The P views a of all images
                are one batch of the encoder and the projector, and so are the P views b: they share batch statistics.
            **kwargs: Of `keras.Model`.

        Raises:
            ValueError: `micro_batch` or `pairs` is below 1, or both are more than one.
        """
        if pairs < 1 or (pairs > 1 and micro_batch is not None):
            raise ValueError(
                f"Received pairs = {pairs}, micro_batch = {micro_batch}. Expected pairs >= 1, one of both."
            )
        if micro_batch is not None and micro_batch < 1:
            raise ValueError(f"Received micro_batch = {micro_batch}. Expected None or at least 1.")
        super().__init__(**kwargs)
        self.encoder = encoder
        self.projector = projector
        self.augment = augment
        self.lambd = lambd
        self.form = form
        self.gradient_scale = gradient_scale
        self.micro_batch = micro_batch
        self.pairs = pairs
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

        Raises:
            ValueError: With `micro_batch`: there is more than one replica, or n is not a multiple of it.
        """
        differentiate = self._differentiate if self.micro_batch is None else self._differentiate_in_parts
        terms, gradients, finite = differentiate(data)
        self.optimizer.apply(gradients, self.trainable_variables)
        sums = tf.stack([_square_sum(g) for g in gradients])
        return {
            "loss": terms.total,
            "invariance": terms.invariance,
            "redundancy": terms.redundancy,
            "gradient_norm": tf.sqrt(tf.reduce_sum(sums)),
            "first_nonfinite": _first_nonfinite([*finite, tf.math.is_finite(terms.total)], sums),
        }

    def _differentiate(self, data: tuple[tf.Tensor, ...]) -> _Differentiated:
        view_a, view_b = self._make_views(data)
        with tf.GradientTape() as tape:
            # One side after the other: the batch statistics of view a and view b stay apart.
            z_a = tf.split(self(view_a, training=True), self.pairs)
            z_b = tf.split(self(view_b, training=True), self.pairs)
            terms, share = self._terms_and_share(z_a, z_b)
        gradients = tape.gradient(share, self.trainable_variables)
        finite = [_all_finite(tensor) for tensor in (view_a, view_b, tf.stack(z_a), tf.stack(z_b))]
        return _Differentiated(terms, gradients, finite)

    def _differentiate_in_parts(self, data: tuple[tf.Tensor, ...]) -> _Differentiated:
        """Returns the same by the passes of `micro_batches`."""
        if replica_count() > 1:
            raise ValueError(
                f"Received micro_batch = {self.micro_batch} on {replica_count()} replicas. "
                "micro_batch is for one replica: leave it out, or train on one."
            )
        parts = micro_batches.cut(data, self.micro_batch)
        y_a, y_b, finite_a, finite_b = micro_batches.represent(self.encoder, self._make_views, parts)
        with tf.GradientTape() as tape:
            tape.watch([y_a, y_b])
            z_a, z_b = self.projector(y_a, training=True), self.projector(y_b, training=True)
            terms, share = self._terms_and_share([z_a], [z_b])
        of_projector, d_y = tape.gradient(share, (self.projector.trainable_variables, (y_a, y_b)))
        d_y = micro_batches.cut(d_y, self.micro_batch)
        of_encoder = micro_batches.encoder_gradients(self.encoder, self._make_views, parts, d_y)
        finite = [finite_a, finite_b, _all_finite(z_a), _all_finite(z_b)]
        # Encoder before projector, as in `trainable_variables`.
        return _Differentiated(terms, [*of_encoder, *of_projector], finite)

    def _make_views(self, data: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, tf.Tensor]:
        view_a, view_b = data if self.augment is None else self.augment(data)
        return view_a, view_b

    def _terms_and_share(self, z_a: list[tf.Tensor], z_b: list[tf.Tensor]) -> tuple[LossTerms, tf.Tensor]:
        """Returns the terms of the global batch, and the scalar to differentiate on this replica."""
        of_pairs = [
            barlow_twins_loss(first, second, lambd=self.lambd, form=self.form)
            for first, second in itertools.combinations([*z_a, *z_b], 2)
        ]
        terms = LossTerms(*(tf.add_n(term) / len(term) for term in zip(*of_pairs, strict=True)))
        # Keras sums gradients over replicas, and each replica holds the loss of the global batch.
        return terms, terms.total * (self.gradient_scale / replica_count())

    @property
    def loss_terms(self) -> tuple[str, ...]:
        """Names of the terms of the loss, beside "loss", in what a step returns."""
        return ("invariance", "redundancy")

    @property
    def log_names(self) -> tuple[str, ...]:
        """Names of what a step returns."""
        return ("loss", "invariance", "redundancy", "gradient_norm", "first_nonfinite")

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
        settings = {name: getattr(self, name) for name in ("lambd", "form", "gradient_scale", "micro_batch", "pairs")}
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


def _all_finite(tensor: tf.Tensor) -> tf.Tensor:
    return tf.reduce_all(tf.math.is_finite(tensor))


def _first_nonfinite(forward: list[tf.Tensor], gradient_sums: tf.Tensor) -> tf.Tensor:
    """Returns the index of the first entry that is not finite, -1.0 when all are, float32 [].

    Args:
        forward: Whether what the forward pass makes is finite, bool [] each.
        gradient_sums: Sum of squares of every gradient, float32 [V].
    """
    bad = tf.logical_not(tf.concat([tf.stack(forward), tf.math.is_finite(gradient_sums)], axis=0))
    first = tf.cast(tf.argmax(tf.cast(bad, tf.int32)), tf.float32)
    return tf.where(tf.reduce_any(bad), first, -1.0)
