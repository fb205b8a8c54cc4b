"""Encoder, projector and loss as one trainable Keras model."""

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import keras
import tensorflow as tf

from barlowtf.distribute.collectives import replica_count
from barlowtf.losses import BoundLoss, ViewEmbeddings, bind
from barlowtf.losses.contract import TOTAL
from barlowtf.models import micro_batches
from barlowtf.models.compiling import resolve_jit_compile
from barlowtf.models.embedding import Embedder, by_kind
from barlowtf.models.finiteness import all_finite, first_nonfinite, names_of_checked, square_sum
from barlowtf.models.gradient_tape import gradient_tape
from barlowtf.models.parts import ModelParts, make_parts, require_batching
from barlowtf.models.target import follow, momentum_at

_LAMBD, _FORM = 0.0051, "auto"


class _Differentiated(NamedTuple):
    """A batch's loss, its gradients by the trainable variables, and whether each input of the loss was finite."""

    terms: Mapping[str, tf.Tensor]
    gradients: list[tf.Tensor]
    finite: list[tf.Tensor]  # bool []: as in `checked_names`: images, embeddings


@keras.saving.register_keras_serializable(package="barlowtf")
class BarlowTwins(keras.Model):
    """Trains an encoder and a projector on pairs of views of the same images.

    Works with `compile`, `fit` and `evaluate`, and with `strategy.run(model.training_logs, args=(batch,))`.
    """

    def __init__(
        self,
        encoder: keras.Model,
        projector: keras.Model,
        *,
        loss: BoundLoss | None = None,
        lambd: float = _LAMBD,
        form: str = _FORM,
        augment: keras.layers.Layer | None = None,
        gradient_scale: float = 1.0,
        micro_batch: int | None = None,
        pairs: int = 1,
        local_views: int = 0,
        total_steps: int | None = None,
        first_step: int = 0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Joins the parts, and makes those that the loss asks for.

        Args:
            encoder: Images float32 [n, H, W, C] -> features [n, d].
            projector: Features [n, d] -> embeddings [n, D].
            loss: See `barlowtf.losses.bind`. None: Barlow Twins' loss with `lambd` and `form`.
            lambd: Weight of the redundancy term, >= 0. Default: the authors' code.
            form: Form of the loss, see `barlow_twins_loss`.
            augment: None: a batch is the pair (view a, view b), used as it is. A layer: a batch is (crops a, crops b,
                seeds), which the layer turns into the two views. With local views the batch has them as its last part.
            gradient_scale: Factor on every gradient, > 0. 1/W repeats the authors' averaging over W devices, which
                reaches biases and normalization parameters but not the LARS-scaled weights.
            micro_batch: None: the whole batch goes through the encoder at once. m >= 1: m images at a time, on
                one replica, in the memory of m; takes about a third more time. Loss, projector and every gradient are
                those of the whole batch. Batch statistics in the *encoder* are those of m images, and its running
                statistics move once a micro-batch; where they are frozen the step equals that of the whole batch.
            pairs: P >= 1: pairs of views of each image in a batch, the first pair of all images first. Barlow Twins'
                loss is the mean over all P (2P - 1) pairs that 2P views make; P = 1 is the paper's. The P views a of
                all images are one batch of the encoder and the projector, and so are the P views b: they share batch
                statistics.
            local_views: K >= 0: smaller views of each image and pair, float32 [K * P * n, h, w, C], one of all images
                after the other. They are one more batch of encoder and projector, with batch statistics of their own.
                The loss is the mean over all pairs of views of which at least one is full.
            total_steps: Steps of the whole training, >= 1, for a loss with a moving average whose momentum changes.
            first_step: Updates that the optimizer has made before this training's first, >= 0.
            seed: Seed of what a loss draws for each step, in [0, 2**32): shares of mixed images, directions.
            **kwargs: Of `keras.Model`.

        Raises:
            ValueError: `micro_batch` or `pairs` is below 1, `local_views` below 0, or `micro_batch` is set beside
                several pairs or local views; `lambd` or `form` is given beside a loss; the loss needs `total_steps`, or
                a moving average or mixtures beside `micro_batch`.
        """
        require_batching(pairs, local_views, micro_batch)
        if loss is not None and (lambd, form) != (_LAMBD, _FORM):
            raise ValueError(f"Invalid lambd or form: received {lambd} and {form!r} beside a loss, expected neither.")
        super().__init__(**kwargs)
        self.encoder = encoder
        self.projector = projector
        self.augment = augment
        self.lambd = lambd
        self.form = form
        self.gradient_scale = gradient_scale
        self.micro_batch = micro_batch
        self.pairs = pairs
        self.local_views = local_views
        self.total_steps = total_steps
        self.first_step = first_step
        self.seed = seed
        self._given_loss = loss
        self.bound_loss = bind("barlow_twins", {"lambd": lambd, "form": form}) if loss is None else loss
        self.predictor, self.prototypes, self.target_encoder, self.target_projector = make_parts(
            self.bound_loss, encoder, projector, micro_batch=micro_batch, total_steps=total_steps
        )
        names = ("loss", *self.loss_terms, "gradient_norm")
        self._means = {name: keras.metrics.Mean(name=name) for name in names}
        self.built = True

    def compile(self, *args: Any, jit_compile: bool | str = "auto", **options: Any) -> None:
        """Prepares for `fit` and `evaluate`, as every Keras model.

        Args:
            *args: Of `keras.Model.compile`: the optimizer.
            jit_compile: Whether XLA compiles the steps. "auto": see `resolve_jit_compile`.
            **options: Of `keras.Model.compile`.
        """
        super().compile(*args, jit_compile=resolve_jit_compile(jit_compile), **options)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Means of what `train_step` and `test_step` return, over the batches since the epoch or evaluation began."""
        return list(self._means.values())

    def call(self, images: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the embeddings, [n, D], of normalized images, float32 [n, H, W, C]."""
        return self.projector(self.encoder(images, training=training), training=training)

    def train_step(self, data: tuple[tf.Tensor, ...]) -> dict[str, tf.Tensor]:
        """Takes one optimizer step for `fit`; see `training_logs`.

        Returns:
            float32 scalars: loss, its terms and gradient_norm, each the mean over the epoch's batches so far.
        """
        logs = self.training_logs(data)
        return self._update_means({name: logs[name] for name in self._means})

    def test_step(self, data: tuple[tf.Tensor, ...]) -> dict[str, tf.Tensor]:
        """Measures the loss of this replica's share of the global batch, in inference mode, for `evaluate`.

        Args:
            data: As of `training_logs`.

        Returns:
            float32 scalars: loss and its terms, each the mean over the batches so far.
        """
        views = self._embedder().embed_views(self._make_views(data), training=False)
        terms = self.bound_loss.compute(views)
        return self._update_means(_named(terms))

    def _update_means(self, logs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        for name, value in logs.items():
            self._means[name].update_state(value)
        return {name: self._means[name].result() for name in logs}

    def training_logs(self, data: tuple[tf.Tensor, ...]) -> dict[str, tf.Tensor]:
        """Takes one optimizer step on this replica's share of the global batch.

        Args:
            data: (view a, view b), float32 [n, H, W, C], and local views where there are some; with an augment layer
                its input (crops a, crops b, seeds), and crops of the local views.

        Returns:
            float32 scalars: loss and its terms, of the global batch; gradient_norm; first_nonfinite, the
            index into `checked_names` of the first tensor that is not finite, -1 when all are.

        Raises:
            ValueError: With `micro_batch`: there is more than one replica, or n is not a multiple of it.
        """
        return self._take_step(data, frozen=False)

    def frozen_training_logs(self, data: tuple[tf.Tensor, ...]) -> dict[str, tf.Tensor]:
        """Takes the step of `training_logs` on all but the encoder, which stays as it is, running statistics included.

        The encoder, and a moving-average copy of it, are in inference mode: the projector learns from the features
        that the encoder was trained to give, and that evaluation measures.
        """
        return self._take_step(data, frozen=True)

    def _take_step(self, data: tuple[tf.Tensor, ...], *, frozen: bool) -> dict[str, tf.Tensor]:
        differentiate = self._differentiate if self.micro_batch is None else self._differentiate_in_parts
        terms, gradients, finite = differentiate(data, frozen=frozen)
        step = self._step() - self.first_step
        variables = self.trainable_variables
        # In the order of the parts, the encoder first: those that learn are the last ones.
        self.optimizer.apply(gradients, variables[len(variables) - len(gradients) :])
        if self.target_encoder is not None:
            targets = ((self.target_encoder, self.encoder), (self.target_projector, self.projector))
            momentum = momentum_at(step, self.total_steps or 1, self.bound_loss.parts.momentum)
            follow(targets[1:] if frozen else targets, momentum)
        untouched = [tf.zeros([])] * (len(variables) - len(gradients))
        sums = tf.stack([*untouched, *(square_sum(g) for g in gradients)])
        return {
            **_named(terms),
            "gradient_norm": tf.sqrt(tf.reduce_sum(sums)),
            "first_nonfinite": first_nonfinite([*finite, tf.math.is_finite(terms[TOTAL])], sums),
        }

    def _embedder(self, *, frozen: bool = False) -> Embedder:
        models = ModelParts(self.predictor, self.prototypes, self.target_encoder, self.target_projector)
        embed, parts = self._embed_frozen if frozen else self, self.bound_loss.parts
        width = self.projector.output_shape[-1]
        return Embedder(embed, models, parts, width, self.pairs, self.local_views, self.seed, self._step(), frozen)

    def _embed_frozen(self, images: tf.Tensor, *, training: bool) -> tf.Tensor:
        return self.projector(self.encoder(images, training=False), training=training)

    def _step(self) -> tf.Tensor:
        """Returns the number of the step, int64 []; 0 without an optimizer."""
        optimizer = getattr(self, "optimizer", None)
        return tf.constant(0, tf.int64) if optimizer is None else tf.identity(optimizer.iterations)

    def _differentiate(self, data: tuple[tf.Tensor, ...], *, frozen: bool) -> _Differentiated:
        views = self._make_views(data)
        with gradient_tape() as tape:
            embedded = self._embedder(frozen=frozen).embed_views(views, training=True)
            terms, share = self._terms_and_share(embedded)
        gradients = tape.gradient(share, self._behind_encoder() if frozen else self.trainable_variables)
        finite = [all_finite(tensor) for tensor in (*views, *by_kind(embedded, self.pairs))]
        return _Differentiated(terms, gradients, finite)

    def _behind_encoder(self) -> list[keras.Variable]:
        """Returns the trainable variables of projector, predictor and prototypes, the last ones of all."""
        parts = (part for part in (self.projector, self.predictor, self.prototypes) if part is not None)
        return [variable for part in parts for variable in part.trainable_variables]

    def _differentiate_in_parts(self, data: tuple[tf.Tensor, ...], *, frozen: bool) -> _Differentiated:
        """Returns the same by the passes of `micro_batches`."""
        if replica_count() > 1:
            raise ValueError(
                f"Invalid micro_batch: received {self.micro_batch} on {replica_count()} replicas, expected None. "
                "It is for one replica."
            )
        size = cast(int, self.micro_batch)
        parts = micro_batches.cut(data, size)
        y_a, y_b, finite_a, finite_b = micro_batches.represent(
            self.encoder, self._make_views, parts, training=not frozen
        )
        with gradient_tape(y_a, y_b) as tape:
            z_a, z_b = self.projector(y_a, training=True), self.projector(y_b, training=True)
            embedder = self._embedder(frozen=frozen)
            embedded = [
                view
                for z in (z_a, z_b)
                for view in embedder.complete(z, embedder.targets(None, z, training=True), 1, training=True)
            ]
            terms, share = self._terms_and_share(embedded)
        of_rest, d_y = tape.gradient(share, (self._behind_encoder(), (y_a, y_b)))
        of_encoder = []
        if not frozen:
            d_y = micro_batches.cut(d_y, size)
            of_encoder = micro_batches.encoder_gradients(self.encoder, self._make_views, parts, d_y)
        finite = [finite_a, finite_b, all_finite(z_a), all_finite(z_b)]
        # Encoder, projector, predictor, prototypes, as in `trainable_variables`.
        return _Differentiated(terms, [*of_encoder, *of_rest], finite)

    def _make_views(self, data: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
        """Returns view a, view b and, where there are some, the local views."""
        # `fit` hands over (x,) where there is x alone.
        data = data[0] if len(data) == 1 else data
        views = tuple(data if self.augment is None else self.augment(data))
        expected = 3 if self.local_views else 2
        if len(views) != expected:
            raise ValueError(
                f"Invalid batch: received {len(views)} batches of views, expected {expected} with local_views = "
                f"{self.local_views}."
            )
        return views

    def _terms_and_share(self, views: list[ViewEmbeddings]) -> tuple[Mapping[str, tf.Tensor], tf.Tensor]:
        """Returns the terms of the global batch, and the scalar to differentiate on this replica."""
        terms = self.bound_loss.compute(views)
        # Keras sums gradients over replicas, and each replica holds the loss of the global batch.
        return terms, terms[TOTAL] * (self.gradient_scale / replica_count())

    @property
    def loss_terms(self) -> tuple[str, ...]:
        """Names of the loss's terms."""
        return self.bound_loss.terms

    @property
    def log_names(self) -> tuple[str, ...]:
        """Names of what `training_logs` returns."""
        return ("loss", *self.loss_terms, "gradient_norm", "first_nonfinite")

    @property
    def checked_names(self) -> list[str]:
        """Names of the tensors that `first_nonfinite` counts, in the order in which a step makes them."""
        local, mixtures = self.local_views > 0, self.bound_loss.parts.mixture
        return names_of_checked(self.trainable_variables, local=local, mixtures=mixtures)

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` needs."""
        parts = {name: keras.saving.serialize_keras_object(value) for name, value in self._config_parts().items()}
        numbers = ("micro_batch", "pairs", "local_views", "total_steps", "first_step", "seed")
        names = ("lambd", "form", "gradient_scale", *numbers)
        return {"name": self.name, **parts, **{name: getattr(self, name) for name in names}}

    def _config_parts(self) -> dict[str, Any]:
        objects = {name: getattr(self, name) for name in ("encoder", "projector", "augment")}
        return {**objects, "loss": self._given_loss}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> "BarlowTwins":
        """Returns the model of a `get_config` result."""
        parts = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in ("encoder", "projector", "augment", "loss")
        }
        return cls(**{**config, **parts})


def _named(terms: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Returns the terms of a loss by the names of the logs: "loss" for the total."""
    return {"loss" if name == TOTAL else name: value for name, value in terms.items()}
