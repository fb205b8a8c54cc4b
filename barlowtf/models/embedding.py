"""From the views of a batch to what the loss sees of them.

Letters: n images of this replica, P pairs of full views and K local views for each pair; D the embeddings' width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import keras
import tensorflow as tf

from barlowtf.augment import mixing_share, random_directions
from barlowtf.losses import Mixture, Parts, ViewEmbeddings
from barlowtf.models.mixtures import mix, neighbors
from barlowtf.models.parts import ModelParts


@dataclass(frozen=True)
class Embedder:
    """Sends views through the parts of a model.

    Attributes:
        embed: (images, training=...) -> embeddings: encoder and projector.
        models: What the loss asked for beside them.
        parts: What that is.
        width: D, >= 1.
        pairs: P, >= 1.
        local_views: K, >= 0.
        seed: Of what is drawn for a step.
        step: Number of the step, integer [], >= 0.
        frozen: Whether the moving-average copy of the encoder is in inference mode while training.
    """

    embed: Callable[..., tf.Tensor]
    models: ModelParts
    parts: Parts
    width: int
    pairs: int
    local_views: int
    seed: int
    step: tf.Tensor
    frozen: bool = False

    def embed_views(self, views: Sequence[tf.Tensor], *, training: bool) -> list[ViewEmbeddings]:
        """Returns the embeddings of all views: P of side a, P of side b, then K P local ones.

        Each side is one batch of encoder and projector, and so are the local views and the mixtures: batch statistics
        are those of one kind of view.

        Args:
            views: View a and view b, float32 [P * n, H, W, C]; where there are some, local ones, [K * P * n, h, w, C].
            training: Whether batch statistics normalize.
        """
        view_a, view_b, *local = views
        side_a = self._embed_side(view_a, training=training)
        side_b = self._embed_side(view_b, training=training)
        if self.parts.mixture:
            side_a = self._add_mixtures(side_a, view_a, view_b, training=training)
        return [*side_a, *side_b, *(each for view in local for each in self._embed_local(view, training=training))]

    def complete(self, z: tf.Tensor, target: tf.Tensor | None, count: int, *, training: bool) -> list[ViewEmbeddings]:
        """Returns the embeddings of `count` views with predictions and scores, each [n, D] of [count * n, D]."""
        predictor, prototypes = self.models.predictor, self.models.prototypes
        prediction = None if predictor is None else predictor(z, training=training)
        scores = None if prototypes is None else prototypes(z, frozen=self.step < self.parts.frozen_prototypes)
        return [
            ViewEmbeddings(rows, predicted, targeted, scores=scored, directions=self._directions)
            for rows, predicted, targeted, scored in zip(
                *(_split(part, count) for part in (z, prediction, target, scores)), strict=True
            )
        ]

    def targets(self, images: tf.Tensor | None, z: tf.Tensor, *, training: bool) -> tf.Tensor | None:
        """Returns the targets of a side, [P * n, D], None where the loss needs none.

        Args:
            images: Of the side; None where the loss needs no moving-average copy.
            z: Embeddings of the side.
            training: Whether batch statistics normalize.
        """
        if self.parts.target == "none":
            return None
        if self.parts.target == "moving_average":
            encoder = cast(keras.Model, self.models.target_encoder)
            projector = cast(keras.Model, self.models.target_projector)
            z = projector(encoder(images, training=training and not self.frozen), training=training)
        return tf.stop_gradient(z)

    @cached_property
    def _directions(self) -> tf.Tensor | None:
        """The directions of the step, drawn once for all views."""
        count = self.parts.directions
        return None if count is None else random_directions(self.seed, self.step, count, self.width)

    def _embed_side(self, images: tf.Tensor, *, training: bool) -> list[ViewEmbeddings]:
        z = self.embed(images, training=training)
        return self.complete(z, self.targets(images, z, training=training), self.pairs, training=training)

    def _embed_local(self, images: tf.Tensor, *, training: bool) -> list[ViewEmbeddings]:
        z = self.embed(images, training=training)
        embedded = self.complete(z, None, self.local_views * self.pairs, training=training)
        return [view._replace(local=True) for view in embedded]

    def _add_mixtures(
        self, side_a: list[ViewEmbeddings], view_a: tf.Tensor, view_b: tf.Tensor, *, training: bool
    ) -> list[ViewEmbeddings]:
        """Returns side a with the embeddings of its mixtures with side b."""
        alpha = mixing_share(self.seed, self.step)
        z = self.embed(mix(view_a, view_b, alpha, pairs=self.pairs), training=training)
        return [
            view._replace(mixture=Mixture(rows, neighbors(tf.shape(rows)[0]), alpha))
            for view, rows in zip(side_a, tf.split(z, self.pairs), strict=True)
        ]


def by_kind(views: Sequence[ViewEmbeddings], pairs: int) -> list[tf.Tensor]:
    """Returns the embeddings of side a, of side b, of local views and of mixtures, [views, n, D] each, where there are.

    Args:
        views: Of `Embedder.embed_views`.
        pairs: P.
    """
    mixtures = [view.mixture.z for view in views if view.mixture is not None]
    sides = [[view.z for view in side] for side in (views[:pairs], views[pairs : 2 * pairs], views[2 * pairs :])]
    return [tf.stack(kind) for kind in (*sides, mixtures) if kind]


def _split(tensor: tf.Tensor | None, count: int) -> list[tf.Tensor | None]:
    return [None] * count if tensor is None else tf.split(tensor, count)
