"""A copy of a model whose parameters follow the trained ones: their exponential moving average.

The parameters are averaged, running statistics are not: the copy sees every batch and keeps its own.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import tensorflow as tf


def copy_model(model: keras.Model) -> keras.Model:
    """Returns a copy with the same weights, none of which is trainable; it still normalizes by batch statistics."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    # The variables alone: a layer that is not trainable would normalize by its running statistics.
    for variable in copy.variables:
        variable.trainable = False
    return copy


def momentum_at(step: Any, total_steps: int, momentum: tuple[float, float]) -> tf.Tensor:
    """Returns m of an update, float32 []: first value at step 0, last value at `total_steps`, half a cosine between.

    Args:
        step: Updates before this one, an integer >= 0.
        total_steps: Steps of the whole training, >= 1.
        momentum: First and last value.

    Source: arXiv:2006.07733, section 3.2.
    """
    first, last = momentum
    done = tf.minimum(tf.cast(step, tf.float64) / total_steps, 1.0)
    return tf.cast(last - (last - first) * (tf.cos(math.pi * done) + 1.0) / 2.0, tf.float32)


def follow(models: Iterable[tuple[Any, keras.Model]], momentum: tf.Tensor) -> None:
    """Moves the parameters of copies towards those of the models that they follow, see `move_towards`.

    Args:
        models: Copy of a model, and the model.
        momentum: float32 [].
    """
    pairs = [
        (copied, trained)
        for copy, model in models
        for copied, trained in zip(copy.variables, model.variables, strict=True)
        if trained.trainable
    ]
    copies, trained = zip(*pairs, strict=True)
    move_towards(copies, trained, momentum)


def move_towards(copies: Sequence[Any], trained: Sequence[Any], momentum: tf.Tensor) -> None:
    """Sets each copy to momentum * copy + (1 - momentum) * trained, inside and outside a replica context.

    Args:
        copies: Keras variables.
        trained: Variables of the same shapes, equal on all replicas.
        momentum: float32 [].
    """

    def move(copy: tf.Variable, value: tf.Tensor, share: tf.Tensor) -> None:
        share = tf.cast(share, copy.dtype)
        copy.assign(share * copy + (1.0 - share) * tf.cast(value, copy.dtype))

    def move_all(strategy: tf.distribute.Strategy, share: tf.Tensor) -> None:
        for copy, variable in zip(copies, trained, strict=True):
            strategy.extended.update(copy.value, move, args=(variable.value, share))

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        for copy, variable in zip(copies, trained, strict=True):
            move(copy.value, variable.value, momentum)
    else:
        context.merge_call(move_all, args=(momentum,))
