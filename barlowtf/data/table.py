"""Data source `table`: image files and their labels as a table lists them.

::

    file,label,split
    photos/0001.jpg,ant,train
    photos/0002.jpg,bee,test

CSV (commas or semicolons), TSV, or JSON lines ({"file": "photos/0001.jpg", "label": "ant"}), UTF-8, by the ending of
its name. Paths are relative to the table. Without a column of labels the images have none; without a column of splits
all rows are for training.
"""

import csv
import json
import logging
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from barlowtf.data.classes import LARGEST_DIGITS, can_be_stored, is_too_long, number_classes
from barlowtf.data.image_files import TEST_FOLDERS, ImageFiles
from barlowtf.data.kind import SourceKind
from barlowtf.data.listed import listed_files, name_some
from barlowtf.errors import DataError
from barlowtf.places import given_path, similar_path
from barlowtf.regular import require_regular

_LOG = logging.getLogger("barlowtf")
_FILE = ("file", "path", "filename", "file_name", "filepath", "file_path", "image", "image_path")
_LABEL = ("label", "class", "class_name", "category", "target")
_SPLIT = ("split", "subset")
# Whole numbers as texts, also as programs write them that know decimal numbers alone.
_WHOLE, _FRACTION = re.compile(r"(?:0|-?[1-9][0-9]*)(?:\.0+)?"), re.compile(r"\.0+$")
_SPLIT_NAMES = {"training": "train", "valid": "val", "dev": "val", "testing": "test"}
_JSON_ENDINGS = (".jsonl", ".ndjson", ".json")
_TAB_ENDINGS = (".tsv", ".tab")


class _Row(NamedTuple):
    file: str
    label: str
    split: str


def table_source(path: str, split: str) -> ImageFiles | None:
    """Returns the images of a table's rows of one split, in its order.

    Args:
        path: The table.
        split: "train", or "test" for the rows of the first of val, validation and test that occurs.

    Returns:
        The split, or None when no row is for testing.

    Raises:
        DataError: The table is missing, empty or malformed, has no column of files or an unknown split, names a file
            twice, or a file is missing.
    """
    table = given_path(path)
    rows = list(_rows(table))
    if not rows:
        raise DataError(f"Invalid table {table}: it has no rows, expected one for each image.")
    test = next((name for name in TEST_FOLDERS if any(row.split == name for row in rows)), None)
    chosen = [row for row in rows if row.split == (test if split == "test" else "train")]
    if not chosen:
        if split == "test":
            return None
        raise DataError(f"No training images in {table}: no row has split train. Mark some.")
    files = listed_files([row.file for row in chosen], table.parent, table)
    name = f"{table.name} {split}"
    given = _meant_labels([row.label for row in rows])
    unlabeled = [row.file for row, label in zip(rows, given, strict=True) if not label]
    if unlabeled:
        if len(unlabeled) < len(rows):
            _LOG.warning(
                "%d of %d rows of %s have no label (%s): measurements by labels leave their images out.",
                len(unlabeled),
                len(rows),
                table,
                name_some(unlabeled),
            )
    # One numbering for all splits.
    class_names, number = number_classes(given)
    places = [place for place, row in enumerate(rows) if row.split == chosen[0].split]
    labels = np.array([number[given[place]] for place in places], np.int64)
    known = (labels >= 0).any()
    return ImageFiles(name, table.parent, files, class_names if known else None, labels if known else None)


def _meant_labels(labels: Sequence[str]) -> list[str]:
    """Returns the labels of a table's rows as they are meant.

    Where all are whole numbers, 1.0 is 1, as programs write a column in which labels are missing, and nan is none, "".
    """
    if not all(_WHOLE.fullmatch(label) or label.lower() == "nan" for label in labels if label):
        return list(labels)
    return ["" if label.lower() == "nan" else _FRACTION.sub("", label) for label in labels]


def _rows(table: Path) -> Iterator[_Row]:
    """Yields the rows of a table."""
    names: list[str] = []
    for number, cells in _cells(table):
        # The keys of JSON objects may differ from line to line.
        if list(cells) != names:
            names = list(cells)
            columns = _columns(table, names)
        file, label, split = (
            "" if name is None else _text(table, number, name, cells.get(name))
            for name in (columns["file"], columns["label"], columns["split"])
        )
        if not file:
            raise DataError(f"Invalid line {number} of {table}: it names no file. Complete or remove it.")
        _require_usable(table, number, file, label)
        yield _Row(file, label, "train" if columns["split"] is None else _split(table, number, split))


def _require_usable(table: Path, number: int, file: str, label: str) -> None:
    """Raises DataError for what no file and no class can be called."""
    for what, text in (("file", file), ("label", label)):
        if not can_be_stored(text):
            fault = "a letter that no text can hold, half of a surrogate pair"
        elif what == "file" and "\0" in text:
            fault = "a NUL, which no name of a file can hold"
        elif what == "label" and is_too_long(text):
            fault = f"a number of {len(text):,} digits, more than {LARGEST_DIGITS:,}"
        else:
            continue
        raise DataError(f"Invalid {what} in line {number} of {table}: received {fault}. Correct or remove the line.")


def _columns(table: Path, names: list[str]) -> dict[str, str | None]:
    """Returns the names of the columns of files, labels and splits as the table writes them."""
    known = {name.strip().lower(): name for name in names}
    found = {
        kind: next((known[word] for word in words if word in known), None)
        for kind, words in (("file", _FILE), ("label", _LABEL), ("split", _SPLIT))
    }
    if found["file"] is None:
        raise DataError(
            f"Invalid table {table}: received the columns {', '.join(names)}, expected one of files: "
            f"{', '.join(_FILE)}; and for labels: {', '.join(_LABEL)}. Rename one in its first line."
        )
    return found


def _split(table: Path, number: int, split: str) -> str:
    name = _SPLIT_NAMES.get(split.lower(), split.lower())
    if name not in ("train", *TEST_FOLDERS):
        raise DataError(
            f"Invalid split in line {number} of {table}: received {split!r}, expected train, {', '.join(TEST_FOLDERS)}."
        )
    return name


def _cells(table: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields number of the line, and column -> cell, of each row."""
    try:
        require_regular(table)
        # utf-8-sig: spreadsheets put a mark before the first byte.
        with open(table, newline="", encoding="utf-8-sig") as file:
            if table.suffix.lower() in _JSON_ENDINGS:
                yield from _json_cells(table, file)
            else:
                yield from _separated_cells(table, file)
    except FileNotFoundError as error:
        raise DataError(f"Invalid file {table}: it does not exist.{similar_path(table)}") from error
    except OSError as error:
        raise DataError(f"Cannot read {table}: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"Cannot read {table}: {error}. Expected a CSV, TSV or JSON-lines file in UTF-8.") from error


def _separated_cells(table: Path, file: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    first = file.readline()
    if table.suffix.lower() in _TAB_ENDINGS:
        separator = "\t"
    else:
        # Spreadsheets write semicolons where the comma is a decimal mark.
        separator = max(",;\t", key=first.count) if first.strip() else ","
    file.seek(0)
    reader = csv.reader(file, delimiter=separator)
    names: list[str] = []
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if not names:
            names = cells
            if len({name.strip().lower() for name in names}) < len(names):
                raise DataError(
                    f"Invalid first line of {table}: received {', '.join(names)}, expected each column once."
                )
            continue
        if len(cells) != len(names):
            raise DataError(
                f"Invalid line {reader.line_num} of {table}: received {len(cells)} cells, expected {len(names)}: "
                f"{', '.join(names)}."
            )
        yield reader.line_num, dict(zip(names, cells, strict=True))


def _json_cells(table: Path, file: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            cells = json.loads(line)
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


def _text(table: Path, number: int, column: str, cell: Any) -> str:
    """Returns a cell as text; Python reads the NaN of JSON lines as a number, and it stands for none."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, list | dict):
        raise DataError(
            f"Invalid {column} in line {number} of {table}: received a {'list' if isinstance(cell, list) else 'object'}"
            ", expected one text or number."
        )
    return str(cell).strip()


TABLE = SourceKind(prefix="table:", open=table_source)
