"""VOC 2007 as its development kit unpacks: lists of images for each class.

::

    VOC2007/ImageSets/Main/aeroplane_trainval.txt   lines "000005 -1": name, and 1 present, 0 difficult, -1 absent
                           aeroplane_test.txt
            JPEGImages/000005.jpg
"""

from pathlib import Path

import numpy as np

from barlowtf.data.image_files import ImageFiles
from barlowtf.data.listed import listed_files, name_some
from barlowtf.data.multi_label import MultiLabelSet
from barlowtf.errors import DataError
from barlowtf.regular import require_regular

_LISTS = Path("ImageSets", "Main")
_LIST_OF_SPLIT = {"train": "trainval", "test": "test"}


def find_voc_folder(folder: Path) -> Path | None:
    """Returns the folder of the VOC images and lists: `folder`, its VOC2007, or its VOCdevkit/VOC2007; else None."""
    candidates = (folder, folder / "VOC2007", folder / "VOCdevkit" / "VOC2007")
    return next((candidate for candidate in candidates if (candidate / _LISTS).is_dir()), None)


def voc_folder(folder: Path, split: str) -> MultiLabelSet:
    """Returns the images of a VOC folder in the order of its lists.

    Args:
        folder: What `find_voc_folder` returned.
        split: "train" (the lists CLASS_trainval.txt) or "test" (CLASS_test.txt). The classes are those that have a
            trainval list, sorted.

    Raises:
        DataError: A list is missing, malformed or names other images than the first one, an image is missing, or a
            class has no positive.
    """
    lists, chosen = folder / _LISTS, _LIST_OF_SPLIT[split]
    class_names = sorted(path.name.removesuffix("_trainval.txt") for path in lists.glob("*_trainval.txt"))
    if not class_names:
        raise DataError(
            f"No class lists in {lists}: expected CLASS_trainval.txt and CLASS_test.txt for each class. "
            "Unpack the VOC 2007 archives into one folder."
        )
    paths = [lists / f"{name}_{chosen}.txt" for name in class_names]
    absent = [path.name for path in paths if not path.is_file()]
    if absent:
        raise DataError(
            f"Missing lists in {lists}: {len(absent)} of {len(paths)} {chosen} lists, {name_some(absent)}; expected "
            "one for each class. Unpack the trainval and the test archive of VOC 2007 into one folder."
        )
    names, first = _read_list(paths[0])
    columns = [first]
    for path in paths[1:]:
        others, column = _read_list(path)
        if others != names:
            raise DataError(
                f"Invalid class lists: received {len(names)} images in {paths[0]} and {len(others)} in {path}"
                f"{_first_difference(names, others)}, expected the same images in the same order. Unpack VOC again."
            )
        columns.append(column)
    images = folder / "JPEGImages"
    files = listed_files([f"{name}.jpg" for name in names], images, paths[0])
    source = ImageFiles(f"{folder.name} {split}", images, files)
    return MultiLabelSet(source, np.stack(columns, axis=1), tuple(class_names))


def _read_list(path: Path) -> tuple[list[str], np.ndarray]:
    """Returns names and int8 values of a class list."""
    names, values = [], []
    require_regular(path)
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="surrogateescape").splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or words[1] not in ("1", "0", "-1"):
            raise DataError(
                f'Invalid line {number} of {path}: received {line!r}, expected "NAME 1", "NAME 0" or "NAME -1".'
            )
        names.append(words[0])
        values.append(int(words[1]))
    return names, np.array(values, np.int8)


def _first_difference(names: list[str], others: list[str]) -> str:
    pair = next(((a, b) for a, b in zip(names, others, strict=False) if a != b), None)
    return f" (the first difference is {pair[0]} and {pair[1]})" if pair else ""
