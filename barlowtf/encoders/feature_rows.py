"""Features in files, as banks of `barlowtf.metrics.nearest_neighbors`: read where they are sliced."""

import bisect
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from barlowtf.errors import CheckpointError

# What readers of damaged files raise.
DAMAGED = (
    *(OSError, ValueError, TypeError, LookupError, AttributeError, EOFError, MemoryError),
    pa.ArrowException,
)
# `barlowtf embed` writes again what is missing, not what is there.
_ADVICE = "Delete that file and embed the images again."


class ArrayFeatures:
    """Features in one memory-mapped array."""

    def __init__(self, file: Path, values: np.ndarray) -> None:
        """Keeps the array.

        Args:
            file: The file, for messages.
            values: float32 [M, d].
        """
        self._file, self._values = file, values
        self.shape = values.shape

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Returns some rows, float32 [n, d].

        Raises:
            CheckpointError: They are not all finite.
        """
        part = self._values[rows]
        _require_finite(self._file, part)
        return part


class ParquetFeatures:
    """Features in Parquet files; the file that was read last is kept."""

    def __init__(self, files: list[Path], width: int) -> None:
        """Reads how many rows each file has.

        Args:
            files: The parts, in their order.
            width: Width d of the features.
        """
        self._files = files
        self._rows = [pq.read_metadata(file).num_rows for file in files]
        self._starts = np.concatenate([[0], np.cumsum(self._rows, dtype=np.int64)]).tolist()
        self.shape = (self._starts[-1], width)
        self._part: tuple[int, np.ndarray] = (-1, np.zeros((0, width), np.float32))

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Returns some rows, float32 [n, d].

        Raises:
            CheckpointError: A file is damaged, or a row of it has no features or some that are not finite.
        """
        start, stop, _ = rows.indices(self.shape[0])
        pieces = [self._part[1][:0]]
        while start < stop:
            number = bisect.bisect_right(self._starts, start) - 1
            if self._part[0] != number:
                self._part = (number, self._read(number))
            first = self._starts[number]
            pieces.append(self._part[1][start - first : stop - first])
            start = self._starts[number + 1]
        return pieces[-1] if len(pieces) == 2 else np.concatenate(pieces)

    def _read(self, number: int) -> np.ndarray:
        file, shape = self._files[number], (self._rows[number], self.shape[1])
        try:
            column = pq.ParquetFile(file).read(["feature"])["feature"].combine_chunks()
            values = column.flatten()
        except DAMAGED as error:
            raise CheckpointError(f"Cannot read {file}: it is damaged. {_ADVICE}") from error
        # Flattened, a list that is null has no values: those of later rows would move up.
        missing = column.null_count or values.null_count
        if missing or (len(column), len(values)) != (shape[0], shape[0] * shape[1]):
            raise CheckpointError(
                f"{file} is damaged: received {len(column)} rows with {len(values)} features in all, {missing} of "
                f"them null, expected {shape[0]} rows of {shape[1]} features. {_ADVICE}"
            )
        part = values.to_numpy().reshape(shape)
        _require_finite(file, part)
        return part


def _require_finite(file: Path, part: np.ndarray) -> None:
    """Raises CheckpointError where no distance could be measured."""
    if not np.isfinite(part).all():
        raise CheckpointError(f"{file} holds features that are not finite. {_ADVICE}")
