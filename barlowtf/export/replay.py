"""Runs an exported file in a process of its own, with nothing but what that kind of file needs.

python -P replay.py READER.py PATH INPUTS.npz OUTPUTS.npz

Started by its path, so that barlowtf is not imported: what it shows holds for a program that does not have barlowtf.
READER holds the source of one function, the `read` of a format:

::

    def read(path, inputs):     # inputs["views"]: uint8 [M, S, S, C]
        import somelibrary      # imports go inside
        ...
        return {"features": ...}   # one array a name, M rows each

`np`, `in_batches`, `filled_up` and `milliseconds` of this module are there for it, nothing else is. INPUTS also holds
`encoded`, M images as PNG bytes in one array, with their `lengths`. A reader may add `milliseconds`, one image at a
time.
"""

import __future__

import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

_BATCH = 64
_TIMED, _WARM_UP = 20, 3


def in_batches(
    run: Callable[[slice], Any], rows: Iterable[slice] | int, size: int | None = None
) -> dict[str, np.ndarray]:
    """Returns the outputs of all batches, joined.

    Args:
        run: Rows of the inputs -> {name: array [n, ...]}, or the features alone.
        rows: Number of all rows, which are then run in batches; or the batches.
        size: Number of rows in a batch; None: 64.
    """
    if isinstance(rows, int):
        size = size or _BATCH
        rows = [slice(start, min(start + size, rows)) for start in range(0, rows, size)]
    results = [run(batch) for batch in rows]
    named = [result if isinstance(result, dict) else {"features": result} for result in results]
    return {name: np.concatenate([np.asarray(result[name]) for result in named]) for name in named[0]}


def filled_up(
    call: Callable[[np.ndarray], dict[str, np.ndarray]], size: int | None
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Returns a function of up to `size` images for a program that takes exactly as many.

    Args:
        call: Images [size, ...] -> {name: array [size, ...]}.
        size: Number of images in a call; None: any, and `call` is returned as it is.
    """
    if size is None:
        return call

    def call_filled(images: np.ndarray) -> dict[str, np.ndarray]:
        missing = np.zeros((size - len(images), *images.shape[1:]), images.dtype)
        return {name: value[: len(images)] for name, value in call(np.concatenate([images, missing])).items()}

    return call_filled


def milliseconds(run: Callable[[], Any]) -> dict[str, Any]:
    """Returns {"milliseconds": median time of a call, ms}."""
    seconds = []
    for _ in range(_WARM_UP + _TIMED):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return {"milliseconds": 1000 * statistics.median(seconds[_WARM_UP:])}


def main(reader: str, path: str, source: str, target: str) -> None:
    """Runs one file."""
    warnings.simplefilter("ignore")
    names: dict[str, Any] = {
        "np": np,
        "in_batches": in_batches,
        "filled_up": filled_up,
        "milliseconds": milliseconds,
    }
    known = set(names)
    # Annotations stay text: the names in them are not there.
    flags = __future__.annotations.compiler_flag
    # The function is a format's own, from the program that started this one.
    exec(compile(Path(reader).read_text(encoding="utf-8"), reader, "exec", flags), names)
    (read,) = (value for name, value in names.items() if name not in known and name != "__builtins__")
    with np.load(source) as inputs:
        outputs = read(path, dict(inputs))
    if "barlowtf" in sys.modules:
        raise SystemExit("barlowtf was imported: the file does not stand alone")
    np.savez(target, **outputs)


if __name__ == "__main__":
    main(*sys.argv[1:])
