"""Gradients whose sums have one order."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from barlowtf.distribute.collectives import replica_count


class _Symbolic:
    """`tf.GradientTape` for a function that is being traced: sums are made of pairs."""

    def gradient(self, target: tf.Tensor, sources: Any, output_gradients: tf.Tensor | None = None) -> Any:
        flat = [source.value if isinstance(source, keras.Variable) else source for source in tf.nest.flatten(sources)]
        pairs = tf.AggregationMethod.EXPERIMENTAL_TREE
        found = tf.gradients(target, flat, grad_ys=output_gradients, aggregation_method=pairs)
        return tf.nest.pack_sequence_as(sources, found)


@contextmanager
def gradient_tape(*watched: tf.Tensor) -> Iterator[tf.GradientTape | _Symbolic]:
    """Records what is to be differentiated, as `tf.GradientTape`; a traced step gives the same bits in every run.

    A tensor that three operations use has a gradient of three terms, as in layer normalization. A tape adds them by
    `tf.add_n`, whose kernel begins with the term whose memory it may overwrite; which one that is depends on the
    threads, and another order rounds otherwise. Two terms have no order, so a traced function adds in pairs. With
    several replicas a tape does it all: symbolic gradients forget which replica's device they belong to.

    Args:
        *watched: Tensors to differentiate by; variables are watched anyway.

    Yields:
        An object with the tape's `gradient(target, sources, output_gradients=None)`; sources are Keras variables and
        tensors, as a list or nested, and what the target does not depend on has None.
    """
    if not tf.executing_eagerly() and replica_count() == 1:
        yield _Symbolic()
        return
    with tf.GradientTape() as tape:
        tape.watch(watched)
        yield tape
