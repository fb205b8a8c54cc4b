"""Data source `table`: image files and their labels as a table lists them.

::

    file,label,split
    photos/0001.jpg,ant,train
    photos/0002.jpg,bee,test

CSV (commas or semicolons), TSV, or JSON lines ({"file": "photos/0001.jpg", "label": "ant"}), UTF-8, by the ending of
its name. Paths are relative to the table. Without a column of labels the images have none; without a column of splits
all rows are for training.
"""

import logging
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from barlowtf.data.classes import LARGEST_DIGITS, can_be_stored, is_too_long, number_classes
from barlowtf.data.image_files import TEST_FOLDERS, ImageFiles
from barlowtf.data.kind import SourceKind
from barlowtf.data.listed import listed_files, name_some
from barlowtf.data.table_cells import find_columns, read_cells
from barlowtf.errors import DataError
from barlowtf.places import given_path

_LOG = logging.getLogger("barlowtf")
# Whole numbers as texts, also as programs write them that know decimal numbers alone.
_WHOLE, _FRACTION = re.compile(r"(?:0|-?[1-9][0-9]*)(?:\.0+)?"), re.compile(r"\.0+$")
_SPLIT_NAMES = {"training": "train", "valid": "val", "dev": "val", "testing": "test"}
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


class _Row(NamedTuple):
    """A row; `split` is train or one of TEST_FOLDERS, `written` what the table calls it."""

    file: str
    label: str
    split: str
    written: str


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
    return ImageFiles(
        name,
        table.parent,
        files,
        class_names if known else None,
        labels if known else None,
        notes=_notes(rows, test),
    )


def _notes(rows: Sequence[_Row], test: str | None) -> tuple[str, ...]:
    """Returns which rows are in neither split and what the test split is, in one line; none where all rows are used."""
    others = Counter(row.written for row in rows if row.split not in ("train", test))
    if not others:
        return ()
    counted = ", ".join(f"{name} ({count:,} {'row' if count == 1 else 'rows'})" for name, count in others.items())
    measured = ", ".join(dict.fromkeys(row.written for row in rows if row.split == test))
    return (f"Passed over, rows of other splits: {counted}. The test split is {measured}.",)


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
    for number, cells in read_cells(table):
        # The keys of JSON objects may differ from line to line.
        if list(cells) != names:
            names = list(cells)
            columns = find_columns(table, names)
        file, label, split = ("" if name is None else _text(table, number, name, cells.get(name)) for name in columns)
        if not file:
            raise DataError(f"Invalid line {number} of {table}: it names no file. Complete or remove it.")
        _require_usable(table, number, file, label)
        if columns.split is None:
            split = "train"
        yield _Row(file, label, _split(table, number, split), split.lower())


def _require_usable(table: Path, number: int, file: str, label: str) -> None:
    """Raises DataError for what no file and no class can be called."""
    if _URL.match(file):
        raise DataError(
            f"Invalid file in line {number} of {table}: received {file[:80]!r}, expected a path: images are read from "
            "disk, not from the network. Download them and write their paths."
        )
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


def _split(table: Path, number: int, split: str) -> str:
    name = _SPLIT_NAMES.get(split.lower(), split.lower())
    if name not in ("train", *TEST_FOLDERS):
        raise DataError(
            f"Invalid split in line {number} of {table}: received {split!r}, expected train, {', '.join(TEST_FOLDERS)}."
        )
    return name


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
