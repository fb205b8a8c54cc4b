"""Keeps the graph optimizer from making one sum of several."""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

_REWRITES = "arithmetic_optimization"


@contextmanager
def pairs_kept() -> Iterator[None]:
    """Functions that are called first within this context run their sums as they were traced.

    `gradient_tape` traces sums of pairs, which have the same bits in every run. TensorFlow's graph optimizer would join
    them to `AddN` again, whose order depends on the threads. What it rewrites beside that gains a step nothing that
    stands out of the noise.
    """
    before = tf.config.optimizer.get_experimental_options().get(_REWRITES, True)
    tf.config.optimizer.set_experimental_options({_REWRITES: False})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({_REWRITES: before})
