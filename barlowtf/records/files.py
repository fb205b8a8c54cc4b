"""The only reader and the only writer of records, and of files of one JSON object a line."""

import json
import math
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from barlowtf.atomic import naming, write_file
from barlowtf.errors import CheckpointError
from barlowtf.regular import require_regular


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
    try:
        require_regular(path)
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise CheckpointError(f"Cannot read {path}: {reason}.") from error
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
        OSError: It cannot be written.
    """
    with naming(path), open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(values) + "\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Returns the objects of a JSON-lines file, [] when there is none; a last line cut short by a crash is left out.

    Raises:
        CheckpointError: Another line is not a JSON object, or the file cannot be read.
    """
    if not path.exists():
        return []
    try:
        require_regular(path)
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise CheckpointError(f"Cannot read {path}: {reason}.") from error
    values = []
    for number, line in enumerate(lines, start=1):
        try:
            values.append(dict(json.loads(line)))
        except (ValueError, TypeError) as error:
            if number == len(lines):
                break
            raise CheckpointError(f"{path}, line {number} is not a JSON object: {error}. Delete the line.") from error
    return values


def finite_or_none(value: float) -> float | None:
    """Returns a number that JSON can hold, None for NaN and infinity."""
    return float(value) if math.isfinite(value) else None


def _first_fault(error: ValidationError) -> str:
    """Returns the field and what is wrong with it, one line."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    message = f"{first['msg'][0].lower()}{first['msg'][1:]}"
    received = "" if first["type"] in ("missing", "json_invalid") else f", received {str(first['input'])[:80]!r}"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{where + ': ' if where else ''}{message}{received}{more}"
