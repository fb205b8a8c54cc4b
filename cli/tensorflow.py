"""Starts TensorFlow without its start-up messages, which would hide the messages meant for the user."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from .given import check_given
from .verbosity import LOGGER


def start_tensorflow() -> None:
    """Imports TensorFlow and looks for devices, and drops what it writes on standard error meanwhile.

    Python errors pass through. Where the user has set TF_CPP_MIN_LOG_LEVEL or gave --verbose, the messages stay.

    Raises:
        BarlowTFError: Data or an encoder that the command line names is not there; TensorFlow is not started then.
    """
    check_given()
    # Keras is to run on TensorFlow, whatever else the user does with it; this comes before ~/.keras/keras.json.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    asked = "TF_CPP_MIN_LOG_LEVEL" in os.environ or LOGGER.isEnabledFor(logging.DEBUG)
    if "tensorflow" in sys.modules or asked:
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    # The messages are written by native code before it reads that variable, so only the descriptor stops them.
    with _silenced(2):
        import tensorflow as tf

        tf.config.list_physical_devices()
    # It has been read: processes that this one starts are to choose for themselves.
    del os.environ["TF_CPP_MIN_LOG_LEVEL"]


def share_threads(jobs: int | None) -> None:
    """Gives this process the threads of one of several jobs, so that a step takes as long here; before it starts."""
    if jobs is not None and jobs > 1:
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max((os.cpu_count() or 1) // jobs, 1)))


@contextmanager
def _silenced(descriptor: int) -> Iterator[None]:
    """Discards what is written to a file descriptor."""
    kept = os.dup(descriptor)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, descriptor)
        yield
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)
        os.close(nowhere)
