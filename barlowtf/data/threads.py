"""How many threads an input pipeline takes."""

import os

import tensorflow as tf

# Batches that wait for whoever takes them.
PREFETCHED_BATCHES = 2


def cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def input_options(workers: int) -> tf.data.Options:
    """Returns options that limit the input's threads to `workers`, and keep the order of its elements.

    Args:
        workers: Number of threads, >= 1.
    """
    options = tf.data.Options()
    options.deterministic = True
    options.threading.private_threadpool_size = workers
    # An image is small: splitting one over threads costs more than it gives.
    options.threading.max_intra_op_parallelism = 1
    return options
