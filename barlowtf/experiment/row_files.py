"""Tables that are written a piece at a time: CSV, Parquet or JSON lines, by the ending of their name."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from barlowtf.errors import ConfigError

RowFormat: TypeAlias = Literal["csv", "parquet", "jsonl"]
_ENDINGS: dict[str, RowFormat] = {".csv": "csv", ".parquet": "parquet", ".jsonl": "jsonl"}


def format_of(path: Path) -> RowFormat:
    """Returns the format of a table by its ending, or raises ConfigError."""
    form = _ENDINGS.get(path.suffix.lower())
    if form is None:
        raise ConfigError(f"Invalid --out: received {path}, expected a name ending in {', '.join(_ENDINGS)}.")
    return form


@contextmanager
def row_writer(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """Yields a function that appends rows of a schema to a new file."""
    form = format_of(path)
    if form == "jsonl":
        with open(path, "w", encoding="utf-8") as file:
            yield lambda table: file.writelines(f"{_line(row)}\n" for row in table.to_pylist())
        return
    writer = pyarrow.csv.CSVWriter(path, schema) if form == "csv" else pq.ParquetWriter(path, schema)
    with writer:
        yield writer.write_table


def _line(row: dict[str, Any]) -> str:
    """Returns a row as JSON; columns are float32, whose digits beyond the eighth say nothing."""
    shown = {name: float(f"{value:.8g}") if isinstance(value, float) else value for name, value in row.items()}
    return json.dumps(shown, ensure_ascii=False)
