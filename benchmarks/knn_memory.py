"""Memory and time of the nearest-neighbor search over a bank of ImageNet's size, beyond the bank itself.

The bank, 1.2 million features of width 2048, is a file that is mapped into memory: 9.8 GB on the disk. What counts is
anonymous memory, which the search takes for itself; pages of the file can be dropped at any time.

Command: python -m benchmarks.knn_memory [--quick]
"""

import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from barlowtf.metrics import classification_scores, knn_votes, nearest_neighbors
from benchmarks import machine

_NEIGHBORS = 200


def _anonymous_bytes() -> int:
    """Returns the process' resident memory that no file stands behind (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024


@contextmanager
def _watching() -> Iterator[dict[str, float]]:
    """Fills what it gives with the seconds, and the most anonymous memory beyond that of before, bytes."""
    result: dict[str, float] = {}
    before, peak, ended = _anonymous_bytes(), [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            peak[0] = max(peak[0], _anonymous_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    try:
        yield result
    finally:
        result["seconds"] = round(time.perf_counter() - started, 2)
        ended.set()
        watcher.join()
        result["extra_bytes"] = peak[0] - before


def _search(rows: int, width: int, queries: int) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
    r = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        bank = np.lib.format.open_memmap(Path(folder) / "bank.npy", "w+", np.float32, (rows, width))
        for start in range(0, rows, 20_000):
            bank[start : start + 20_000] = r.standard_normal(bank[start : start + 20_000].shape, np.float32)
        bank.flush()
        bank = np.load(Path(folder) / "bank.npy", mmap_mode="r")
        some = np.array(bank[:: rows // queries][:queries])
        nearest_neighbors(bank[:5000], some[:10], neighbors=_NEIGHBORS)  # starts TensorFlow's threads
        with _watching() as watched:
            similarity, index = nearest_neighbors(bank, some, neighbors=_NEIGHBORS)
        # Each query is a row of the bank: it must find itself first.
        found = float(np.mean(index[:, 0] == np.arange(rows)[:: rows // queries][:queries]))
    facts = {"bank_rows": rows, "width": width, "queries": queries, "neighbors": _NEIGHBORS}
    return {**facts, "bank_bytes": rows * width * 4, **watched, "found_themselves": found}, similarity, index


def _vote(similarity: np.ndarray, index: np.ndarray, queries: int, classes: int) -> dict[str, float]:
    """Votes and scores of as many queries as ImageNet has test images; their neighbors count as extra memory."""
    labels = np.random.default_rng(1).integers(0, classes, int(index.max()) + 1)
    truth = labels[:1].repeat(queries)
    with _watching() as watched:
        repeats = -(-queries // len(index))
        many, near = np.tile(similarity, (repeats, 1))[:queries], labels[np.tile(index, (repeats, 1))[:queries]]
        for k in (20, _NEIGHBORS):
            votes = knn_votes(many[:, :k], near[:, :k], class_count=classes)
            classification_scores(votes, truth)
            del votes
    return {"queries": queries, "classes": classes, **watched}


def _measure(*, quick: bool) -> dict[str, dict[str, float]]:
    search, similarity, index = _search(*((20_000, 2048, 100) if quick else (1_200_000, 2048, 2000)))
    return {"search": search, "votes": _vote(similarity, index, 1000 if quick else 50_000, 1000)}


if __name__ == "__main__":
    machine.write_result("knn_memory", _measure(quick="--quick" in sys.argv))
