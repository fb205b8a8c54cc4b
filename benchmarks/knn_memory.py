"""Memory and time of the nearest-neighbor search over a bank of ImageNet's size, beyond the bank itself.

The bank, 1.2 million features of width 2048, is a file that is mapped into memory: 9.8 GB on the disk. What counts is
anonymous memory, which the search takes for itself; pages of the file can be dropped at any time.

Command: python -m benchmarks.knn_memory [--quick]
"""

import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from barlowtf.metrics import nearest_neighbors
from benchmarks import machine

_NEIGHBORS = 200


def _anonymous_bytes() -> int:
    """Returns the process' resident memory that no file stands behind (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024


def _measure(rows: int, width: int, queries: int) -> dict[str, float]:
    r = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        bank = np.lib.format.open_memmap(Path(folder) / "bank.npy", "w+", np.float32, (rows, width))
        for start in range(0, rows, 20_000):
            bank[start : start + 20_000] = r.standard_normal(bank[start : start + 20_000].shape, np.float32)
        bank.flush()
        bank = np.load(Path(folder) / "bank.npy", mmap_mode="r")
        some = np.array(bank[:: rows // queries][:queries])
        nearest_neighbors(bank[:5000], some[:10], neighbors=_NEIGHBORS)  # starts TensorFlow's threads
        before, peak, ended = _anonymous_bytes(), [0], threading.Event()

        def watch() -> None:
            while not ended.wait(0.05):
                peak[0] = max(peak[0], _anonymous_bytes())

        watcher = threading.Thread(target=watch)
        watcher.start()
        started = time.perf_counter()
        similarity, index = nearest_neighbors(bank, some, neighbors=_NEIGHBORS)
        seconds = time.perf_counter() - started
        ended.set()
        watcher.join()
        # Each query is a row of the bank: it must find itself first.
        found = float(np.mean(index[:, 0] == np.arange(rows)[:: rows // queries][:queries]))
    return {
        "bank_rows": rows,
        "width": width,
        "queries": queries,
        "neighbors": _NEIGHBORS,
        "bank_bytes": rows * width * 4,
        "extra_bytes": peak[0] - before,
        "seconds": seconds,
        "found_themselves": found,
    }


if __name__ == "__main__":
    quick = "--quick" in sys.argv
    machine.write_result("knn_memory", _measure(20_000 if quick else 1_200_000, 2048, 100 if quick else 2000))
