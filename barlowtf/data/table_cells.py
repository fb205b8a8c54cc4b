"""The cells of a table: CSV, TSV or JSON lines in UTF-8, one row per line."""

import csv
import functools
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from barlowtf.errors import DataError
from barlowtf.places import similar_path
from barlowtf.regular import require_regular

_FILE = ("file", "path", "filename", "file_name", "filepath", "file_path", "image", "image_path")
_LABEL = ("label", "class", "class_name", "category", "target")
_SPLIT = ("split", "subset")
_JSON_ENDINGS = (".jsonl", ".ndjson", ".json")
_TAB_ENDINGS = (".tsv", ".tab")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_UTF16 = "Invalid table {table}: received UTF-16, expected UTF-8. Save it as UTF-8."


class Columns(NamedTuple):
    """The names of a table's columns as the table writes them; None: it has no such column."""

    file: str
    label: str | None
    split: str | None


def find_columns(table: Path, names: list[str]) -> Columns:
    """Returns the columns of files, labels and splits.

    Args:
        table: Path of the table, for messages.
        names: The columns of its first line, or the keys of a JSON object.

    Raises:
        DataError: None is a column of files, or two that differ only in case or spaces are such a column.
    """
    spellings = Counter(name.strip().lower() for name in names)
    twice = next((word for word in (*_FILE, *_LABEL, *_SPLIT) if spellings[word] > 1), None)
    if twice is not None:
        same = ", ".join(name for name in names if name.strip().lower() == twice)
        raise DataError(f"Invalid columns of {table}: received {same}, expected one of them. Remove the others.")
    known = {name.strip().lower(): name for name in names}
    file, label, split = (
        next((known[word] for word in words if word in known), None) for words in (_FILE, _LABEL, _SPLIT)
    )
    if file is None:
        raise DataError(
            f"Invalid table {table}: received the columns {', '.join(names)}, expected one of files: "
            f"{', '.join(_FILE)}; and for labels: {', '.join(_LABEL)}. Rename one in its first line."
        )
    return Columns(file, label, split)


def read_cells(table: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the number of the line, from 1, and column -> cell, of each row of a table.

    Raises:
        DataError: The table is missing, cannot be read, is not UTF-8, or has a malformed line.
    """
    try:
        require_regular(table)
        # utf-8-sig: spreadsheets put a mark before the first byte.
        with open(table, newline="", encoding="utf-8-sig") as file:
            # Two bytes for each letter, of which the mark in front is missing.
            if "\0" in file.read(2):
                raise DataError(_UTF16.format(table=table))
            file.seek(0)
            if table.suffix.lower() in _JSON_ENDINGS:
                yield from _json_cells(table, file)
            else:
                yield from _separated_cells(table, file)
    except FileNotFoundError as error:
        raise DataError(f"Invalid file {table}: it does not exist.{similar_path(table)}") from error
    except OSError as error:
        raise DataError(f"Cannot read {table}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise DataError(encoding_fault(table)) from error


def encoding_fault(table: Path) -> str:
    """Returns the message on a table that is not UTF-8: which line holds what instead."""
    with open(table, "rb") as file:
        for number, line in enumerate(file, start=1):
            if number == 1 and line.startswith(_UTF16_MARKS):
                return _UTF16.format(table=table)
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return (
                    f"Invalid line {number} of {table}: received the byte 0x{line[error.start]:02x}, expected CSV, TSV "
                    "or JSON lines in UTF-8. Save text in another encoding, such as Latin-1, as UTF-8."
                )
    return f"Invalid table {table}: received text that is not UTF-8. Save it as UTF-8."


def separated_lines(table: Path, lines: Iterable[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yields the number of the line, from 1, and the cells of each line that is not empty.

    Each line is a row of its own: a quotation mark that is not closed would make one cell of all that follows.

    Args:
        table: Path of the table, for messages.
        lines: Its lines.
        separator: What stands between two cells.

    Raises:
        DataError: A quotation mark opens a cell that its line does not close, or a cell is too long.
    """
    for number, line in enumerate(lines, start=1):
        try:
            # The second, empty line is a row of its own unless a quotation mark in the first one is still open.
            rows = list(csv.reader((line, ""), delimiter=separator))
        except csv.Error as error:
            raise DataError(f"Invalid line {number} of {table}: {error}. Shorten the cell.") from error
        if len(rows) == 1:
            raise DataError(
                f"Invalid line {number} of {table}: a quotation mark opens a cell there and none closes it in that "
                "line. Remove it, or write the cell in one line."
            )
        if any(cell.strip() for cell in rows[0]):
            yield number, rows[0]


def _separated_cells(table: Path, file: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    first = file.readline()
    if table.suffix.lower() in _TAB_ENDINGS:
        separator = "\t"
    else:
        # Spreadsheets write semicolons where the comma is a decimal mark.
        separator = max(",;\t", key=first.count) if first.strip() else ","
    file.seek(0)
    names: list[str] = []
    for number, cells in separated_lines(table, file, separator):
        if not names:
            names = cells
            _require_header(table, names)
        elif len(cells) != len(names):
            raise DataError(
                f"Invalid line {number} of {table}: received {len(cells)} cells, expected {len(names)}: "
                f"{', '.join(names)}."
            )
        else:
            yield number, dict(zip(names, cells, strict=True))


def _require_header(table: Path, names: list[str]) -> None:
    """Raises DataError where the first line of a table does not name its columns."""
    lowered = [name.strip().lower() for name in names]
    if lowered[0].startswith("#") and not set(_FILE) & set(lowered):
        line = ", ".join(name.strip() for name in names)[:80]
        raise DataError(
            f"Invalid first line of {table}: received {line!r}, expected the names of the columns, "
            "such as file,label. A table holds no comments: remove it."
        )
    if len(set(lowered)) < len(names):
        raise DataError(f"Invalid first line of {table}: received {', '.join(names)}, expected each column once.")
    find_columns(table, names)


def _json_cells(table: Path, file: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            cells = json.loads(line, object_pairs_hook=functools.partial(_each_key_once, table, number))
        except json.JSONDecodeError as error:
            raise DataError(f"Invalid line {number} of {table}: {error.msg}, expected one JSON object.") from error
        except RecursionError as error:
            raise DataError(f"Invalid line {number} of {table}: too deep, expected one JSON object.") from error
        except ValueError as error:
            # Python reads no number of more than 4,300 digits.
            raise DataError(f"Invalid line {number} of {table}: a number has too many digits.") from error
        if not isinstance(cells, dict):
            raise DataError(f"Invalid line {number} of {table}: received {line.strip()[:40]}, expected a JSON object.")
        yield number, cells


def _each_key_once(table: Path, number: int, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns a JSON object; raises DataError where it has a key twice, of which Python would take the last."""
    cells = dict(pairs)
    if len(cells) < len(pairs):
        key, count = Counter(key for key, _ in pairs).most_common(1)[0]
        raise DataError(
            f"Invalid line {number} of {table}: received the key {key[:40]!r} {count} times, expected each key once. "
            "Remove all but one."
        )
    return cells
