"""What the workers of a run exchange outside the training step: that they agree, that they end, why one failed."""

import hashlib
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tensorflow as tf

from barlowtf.atomic import write_file
from barlowtf.distribute import Cluster, all_gather, cluster_of, lost_workers
from barlowtf.errors import BarlowTFError, ConfigError, Interrupted, LostWorkerError

_LOG = logging.getLogger("barlowtf")
# How long a worker waits for the note of one that failed: the note is written before the process ends, but a network
# file system may show it late.
_NOTE_SECONDS = 3.0


def require_agreement(strategy: tf.distribute.Strategy, facts: Mapping[str, str | int]) -> None:
    """Raises ConfigError where the workers of a strategy do not hold the same facts; all of them raise it.

    Args:
        strategy: Strategy of the run; where one process holds all replicas there is nothing to compare.
        facts: What must be equal, by name, the same names on all workers.
    """
    cluster = cluster_of(strategy)
    if cluster is None:
        return
    digests = [int.from_bytes(hashlib.sha256(str(fact).encode()).digest()[:6]) for fact in facts.values()]
    rows = _gather(strategy, digests)
    differing = [name for name, column in zip(facts, rows.T, strict=True) if len(set(column.tolist())) > 1]
    if differing:
        own = ", ".join(f"{name} = {facts[name]}" for name in differing)
        barrier(strategy)
        raise ConfigError(
            f"The workers differ in {' and '.join(differing)}; {cluster.name(cluster.index)} has {own}. "
            "Start all of them with the same command, the same data and a run folder that all of them see."
        )


def barrier(strategy: tf.distribute.Strategy) -> None:
    """Returns when every worker of a strategy has come here or has ended. Nothing may be exchanged after it.

    A worker that is through may end its process before another one is; what the other misses then is a message without
    content, so the error is not a failure of the run.
    """
    if cluster_of(strategy) is None:
        return
    try:
        _gather(strategy, [0])
    except tf.errors.OpError as error:
        _LOG.debug("A worker left early: %s", error)


def _gather(strategy: tf.distribute.Strategy, numbers: list[int]) -> np.ndarray:
    """Returns the numbers that each replica's process holds, [replicas, numbers]; waits for all of them."""

    def gather() -> tf.Tensor:
        gathered = strategy.run(lambda: all_gather(tf.constant([numbers], tf.int64)))
        return strategy.experimental_local_results(gathered)[0]

    # Each call traces a function of its own; called as one, TensorFlow would warn of the fifth.
    return tf.function(gather).get_concrete_function()().numpy()


@contextmanager
def shared_failures(folder: Path, cluster: Cluster | None) -> Iterator[None]:
    """Passes a worker's error on to the others, and turns a lost worker into an error that names it.

    Args:
        folder: The run folder, which all workers see.
        cluster: None: one process, and errors pass as they are.

    Raises:
        LostWorkerError: A collective failed because another worker has ended.
    """
    if cluster is None:
        yield
        return
    note = _note(folder, cluster.index)
    note.unlink(missing_ok=True)
    try:
        yield
    except Interrupted:
        raise
    except tf.errors.OpError as error:
        lost = lost_workers(error, cluster)
        if not lost:
            _write_note(note, repr(error))
            raise
        reasons = "; ".join(f"{cluster.name(index)} {_read_note(_note(folder, index))}" for index in lost)
        raise LostWorkerError(f"{reasons}. Checkpoints are kept; start all workers again to resume.") from error
    except BaseException as error:
        _write_note(note, str(error) or repr(error))
        if isinstance(error, BarlowTFError):
            raise type(error)(f"{cluster.name(cluster.index)}: {error}") from error
        raise


def _note(folder: Path, index: int) -> Path:
    return folder / f".worker-{index}.error"


def _write_note(note: Path, text: str) -> None:
    if not note.parent.is_dir():  # Too early for a run folder: every worker finds the fault itself.
        return
    try:
        write_file(note, text)
    except OSError as error:
        _LOG.warning("Cannot tell the other workers: %s", error)


def _read_note(note: Path) -> str:
    """Returns how a worker ended, in words that follow its name."""
    until = time.monotonic() + _NOTE_SECONDS
    while time.monotonic() < until:
        if note.exists():
            return f"stopped: {note.read_text(encoding='utf-8').rstrip('.')}"
        time.sleep(0.2)
    return "is lost: it died, hangs or cannot be reached"
