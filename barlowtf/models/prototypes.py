"""Prototypes: trained vectors of length 1, to which the embeddings of images are compared."""

from typing import Any

import keras
import tensorflow as tf

from barlowtf.losses.cosine import unit
from barlowtf.models.layers import layer_seed


class _UnitRows(keras.constraints.Constraint):
    """Gives each row of a matrix the length 1; the optimizer applies it after each step."""

    def __call__(self, w: Any) -> tf.Tensor:
        return unit(tf.convert_to_tensor(w))


class Prototypes(keras.layers.Layer):
    """Cosines of embeddings and prototypes, in float32 under any policy.

    The prototypes start with length 1 and get it again after each step, as those of facebookresearch/swav do before
    each step: the gradient is that by prototypes of length 1.
    """

    def __init__(self, width: int, count: int, *, seed: int = 0) -> None:
        """Makes the prototypes.

        Args:
            width: Width D of the embeddings, >= 1.
            count: Number K of prototypes, >= 1.
            seed: Seed of the first ones, >= 0: uniform directions.
        """
        super().__init__(name="prototypes", dtype="float32")
        self.vectors = self.add_weight(
            shape=(count, width),
            initializer=keras.initializers.RandomNormal(stddev=1.0, seed=layer_seed(seed, "prototypes")),
            constraint=_UnitRows(),
            name="vectors",
        )
        self.vectors.assign(unit(self.vectors))
        self.built = True

    def call(self, z: tf.Tensor, frozen: tf.Tensor | bool = False) -> tf.Tensor:
        """Returns the cosines, float32 [n, K].

        Args:
            z: Embeddings, float [n, D].
            frozen: Whether no gradient reaches the prototypes, bool [].
        """
        vectors = tf.convert_to_tensor(self.vectors)
        vectors = tf.where(frozen, tf.stop_gradient(vectors), vectors)
        return tf.matmul(unit(z), vectors, transpose_b=True)
