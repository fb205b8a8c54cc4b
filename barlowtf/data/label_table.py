"""A user's own images with several classes each: a folder of images and a table beside it, for train and for test.

::

    DATA/train/...jpg   DATA/train.csv
         test/...jpg    test.csv            or val/ and val.csv, validation/ and validation.csv

The first row of a table is `file,CLASS1,CLASS2,...`, and each row after it is an image: its path below the folder, then
1 (it shows the class), 0 (it does not) or d (difficult: a test leaves it out; an empty cell means the same). UTF-8,
commas, quotes as spreadsheets write them. The order of the rows is the order of the images.
"""

from pathlib import Path

import numpy as np

from barlowtf.data.image_files import TEST_FOLDERS, ImageFiles
from barlowtf.data.listed import listed_files
from barlowtf.data.multi_label import ABSENT, DIFFICULT, PRESENT, MultiLabelSet
from barlowtf.data.table_cells import encoding_fault, separated_lines
from barlowtf.errors import DataError

_CELLS = {"1": PRESENT, "0": ABSENT, "d": DIFFICULT, "": DIFFICULT}


def has_label_table(folder: Path) -> bool:
    """Returns whether `folder`/train.csv exists."""
    return (folder / "train.csv").is_file()


def label_table(folder: Path, split: str) -> MultiLabelSet:
    """Returns the images that a table names, in its order.

    Args:
        folder: The data set; the module's docstring shows its files.
        split: "train" or "test".

    Raises:
        DataError: The test table is missing, a table is malformed, its classes are not those of train.csv, an image is
            missing or named twice, or a class has no positive.
    """
    part = "train" if split == "train" else next((name for name in TEST_FOLDERS if _is_part(folder, name)), None)
    if part is None or not _is_part(folder, part):
        raise DataError(
            f"No {split} split in {folder}: expected train/ with train.csv, and test/ with test.csv (or val, "
            "validation)."
        )
    table = folder / f"{part}.csv"
    class_names, rows = _read(table)
    expected = _read(folder / "train.csv")[0]
    if class_names != expected:
        raise DataError(
            f"Invalid classes in {table}: received {', '.join(class_names)}, expected {', '.join(expected)} as in "
            "train.csv. Write the same columns in the same order."
        )
    files = listed_files([name for name, _ in rows], folder / part, table)
    source = ImageFiles(f"{folder.name} {split}", folder / part, files)
    return MultiLabelSet(source, np.array([cells for _, cells in rows], np.int8), class_names)


def _is_part(folder: Path, name: str) -> bool:
    return (folder / name).is_dir() and (folder / f"{name}.csv").is_file()


def _read(table: Path) -> tuple[tuple[str, ...], list[tuple[str, list[int]]]]:
    """Returns the classes, and each row's file and targets."""
    try:
        # utf-8-sig: spreadsheets put a mark before the first byte.
        with open(table, newline="", encoding="utf-8-sig") as file:
            lines = list(separated_lines(table, file, ","))
    except UnicodeDecodeError as error:
        raise DataError(encoding_fault(table)) from error
    header = [cell.strip() for cell in lines[0][1]] if lines else []
    class_names = tuple(header[1:])
    if header[:1] != ["file"] or not class_names or "" in class_names or len(set(class_names)) != len(class_names):
        raise DataError(
            f"Invalid first row of {table}: received {','.join(header)!r}, expected file,CLASS1,CLASS2,... with each "
            "class once."
        )
    rows = [(row[0].strip(), _targets(table, number, row, class_names)) for number, row in lines[1:]]
    return class_names, rows


def _targets(table: Path, number: int, row: list[str], class_names: tuple[str, ...]) -> list[int]:
    if len(row) != 1 + len(class_names):
        raise DataError(
            f"Invalid row {number} of {table}: received {len(row)} cells, expected {1 + len(class_names)}, a file and "
            "one for each class."
        )
    cells = [cell.strip().lower() for cell in row[1:]]
    for name, cell in zip(class_names, cells, strict=True):
        if cell not in _CELLS:
            raise DataError(
                f"Invalid class {name} in row {number} of {table}: received {cell!r}, expected 1 (present), 0 "
                "(absent), or d or nothing (difficult)."
            )
    return [_CELLS[cell] for cell in cells]
