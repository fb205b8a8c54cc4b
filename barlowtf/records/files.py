"""The only reader and the only writer of records, and of files of one JSON object a line."""

import json
import math
import os
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from barlowtf.atomic import naming, write_file
from barlowtf.errors import CheckpointError
from barlowtf.printable import printable
from barlowtf.regular import require_regular

# A run of millions of steps leaves a few hundred megabytes.
_MOST_BYTES = 2**31


class Record(BaseModel):
    """A JSON file, or a part of one: unknown keys and wrong types are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


Kind = TypeVar("Kind", bound=Record)


def read_record(path: Path, kind: type[Kind]) -> Kind:
    """Returns the record in a file.

    Args:
        path: The JSON file.
        kind: What it must hold.

    Raises:
        CheckpointError: The file is missing, is not JSON, or holds something else; the message names file and field.
    """
    text = _read_text(path)
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise CheckpointError(f"{path} is not a valid {kind.__name__}: {_first_fault(error)}. Restore it.") from error


def write_record(path: Path, record: Record) -> None:
    """Writes a record as JSON, one top-level key a line, so that a confusion matrix stays readable.

    Raises:
        OSError: It cannot be written. The old content is kept.
    """
    values = record.model_dump(mode="json")
    lines = (f"  {json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in values.items())
    write_file(path, "{\n" + ",\n".join(lines) + "\n}\n")


def append_line(path: Path, values: dict[str, Any]) -> None:
    """Appends one JSON object as a line, in one write.

    Raises:
        CheckpointError: The file is a symbolic link.
        OSError: It cannot be written.
    """
    if path.is_symlink():
        raise CheckpointError(f"Invalid file: {path} is a symbolic link, which is never written through. Delete it.")
    with naming(path), open(path, "a", encoding="utf-8", opener=_open_itself) as file:
        file.write(json.dumps(values) + "\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Returns the objects of a JSON-lines file, [] when there is none; a last line cut short by a crash is left out.

    Raises:
        CheckpointError: Another line is not a JSON object, or the file cannot be read.
    """
    if not path.exists():
        return []
    lines = _read_text(path).split("\n")
    last = len(lines) - (lines[-1] == "")
    values: list[dict[str, Any]] = []
    for number, line in enumerate(lines[:last], start=1):
        try:
            value = json.loads(line)
            if not isinstance(value, dict):
                raise ValueError(f"it is a {type(value).__name__}")
            values.append(value)
        except (ValueError, RecursionError) as error:
            if number == last and not isinstance(error, RecursionError):
                break
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(f"{path}, line {number} is not a JSON object: {reason}. Delete the line.") from error
    return values


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Returns the measurements of a metrics.jsonl, see `read_lines`: "step", a count, and numbers by their names.

    Raises:
        CheckpointError: Another line is not a JSON object, or a value is not a number; the message names line and key.
    """
    records = read_lines(path)
    for number, record in enumerate(records, start=1):
        for key, value in {"step": None, **record}.items():
            if not _is_number(value) or (key == "step" and not (isinstance(value, int) and 0 <= value < 2**63)):
                expected = "a number of steps" if key == "step" else "a number"
                raise CheckpointError(
                    f"{path}, line {number}: {key[:80]!r}: received {str(value)[:80]!r}, expected {expected}. "
                    "Delete the line."
                )
    return records


def _is_number(value: Any) -> bool:
    # A whole number of JSON may be larger than any float.
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63)


def _open_itself(path: str, flags: int) -> int:
    """Opens a file for `open`, and fails where a link has been put in its place."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _read_text(path: Path) -> str:
    """Returns the text of a file, or raises CheckpointError; a pipe or device is never opened."""
    try:
        require_regular(path)
        if path.stat().st_size > _MOST_BYTES:
            raise CheckpointError(f"Cannot read {path}: it has more than {_MOST_BYTES:,} bytes.")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise CheckpointError(f"Cannot read {path}: {reason}.") from error


def finite_or_none(value: float) -> float | None:
    """Returns a number that JSON can hold, None for NaN and infinity."""
    return float(value) if math.isfinite(value) else None


def _first_fault(error: ValidationError) -> str:
    """Returns the field and what is wrong with it, one line."""
    first = error.errors()[0]
    where = printable(".".join(map(str, first["loc"]))[:200], keep="")
    told = first["msg"].removeprefix("Value error, ")[:200]
    message = f"{told[0].lower()}{told[1:]}"
    unsaid = ("missing", "json_invalid", "value_error")
    received = "" if first["type"] in unsaid else f", received {str(first['input'])[:80]!r}"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{where + ': ' if where else ''}{message}{received}{more}"
