"""Objects of images in a folder as VOC's development kit unpacks it, of one year or of several.

::

    VOCdevkit/VOC2007/Annotations/000005.xml
                      ImageSets/Main/trainval.txt   lines "000005"; or train.txt, val.txt
                                     test.txt
                      JPEGImages/000005.jpg
              VOC2012/...

Of several years the training images of all are taken, and the test images of the first that has any.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from barlowtf.data.image_files import ImageFiles
from barlowtf.data.layout import ENDINGS
from barlowtf.data.objects.annotations import ObjectSet
from barlowtf.data.objects.cleaning import MarkedObjects, cleaned
from barlowtf.data.objects.conventions import require_convention
from barlowtf.data.objects.listing import annotated_files, some, stays_inside
from barlowtf.data.objects.sizes import file_sizes, settled_sizes
from barlowtf.data.objects.voc_annotation import VOCAnnotation, read_voc_annotation, voc_boxes
from barlowtf.detection import boxes_of_voc
from barlowtf.errors import DataError, NoTestSplitError
from barlowtf.regular import require_regular

_LISTS = Path("ImageSets", "Main")
_YEARS = "VOC[0-9][0-9][0-9][0-9]"


class _Entry(NamedTuple):
    """An image of a list."""

    year: Path
    name: str


def find_voc_years(folder: Path) -> list[Path]:
    """Returns the folders with lists of images: `folder` itself, or the VOC2007, ... in it or in its VOCdevkit.

    A folder with annotations and no lists counts, too: other programs write such ones; `voc_objects` says what lacks.
    """
    for base in (folder, folder / "VOCdevkit"):
        if (base / _LISTS).is_dir() or next(base.glob("Annotations/*.xml"), None) is not None:
            return [base]
        years = sorted(year for year in base.glob(_YEARS) if (year / _LISTS).is_dir())
        if years:
            return years
    return []


def voc_objects(years: Sequence[Path], split: str) -> ObjectSet:
    """Returns the images of a split in the order of their lists, with their objects.

    Train is trainval.txt, or train.txt and val.txt, where there is a test.txt; else train.txt, and test is val.txt. The
    classes are those of the training objects, in the order of the alphabet, which is VOC's own.

    Args:
        years: What `find_voc_years` returned.
        split: "train" or "test".

    Raises:
        NoTestSplitError: There are no lists of test images.
        DataError: A list, an annotation or an image is missing or cannot be used.
    """
    lists = _lists(years)
    if not lists[split]:
        expected = "trainval.txt or train.txt" if split == "train" else "test.txt, or train.txt and val.txt"
        raise (NoTestSplitError if split == "test" else DataError)(
            f"No {split} split in {years[0] / _LISTS}: received none of its lists, expected {expected}. Add one"
            f"{', or name test images with --eval-data' if split == 'test' else ''}."
        )
    entries = _entries(lists[split])
    annotations = _annotations(entries)
    # The numbers of the classes are those of training, whichever split is read.
    training = annotations if split == "train" or not lists["train"] else _annotations(_entries(lists["train"]))
    class_names = sorted({name for annotation in training for name in annotation.names})
    if not class_names:
        raise DataError(
            f"No objects in {years[0] / 'Annotations'}: received {len(training)} training images without one, expected "
            "at least one <object>. Annotate them."
        )
    return _object_set(years, split, entries, annotations, tuple(class_names))


def _object_set(
    years: Sequence[Path],
    split: str,
    entries: Sequence[_Entry],
    annotations: Sequence[VOCAnnotation],
    class_names: tuple[str, ...],
) -> ObjectSet:
    where = years[0].parent if len(years) > 1 else years[0]
    image = np.repeat(np.arange(len(entries)), [len(annotation.names) for annotation in annotations])
    number = {name: place for place, name in enumerate(class_names)}
    names = [name for annotation in annotations for name in annotation.names]
    unknown = sorted(set(names) - set(class_names))
    if unknown:
        raise DataError(
            f"Unknown classes in the {split} images of {where}: received {some(unknown)}, expected those of the "
            f"training images, {some(class_names)}. Correct the names, or move such images to training."
        )
    files = annotated_files(_files(where, entries), where, years[0] / _LISTS)
    paths = [where / file for file, _ in files]
    stated = np.array([(annotation.height, annotation.width) for annotation in annotations], np.int64)
    sizes = settled_sizes(file_sizes(paths), stated, [entry.name for entry in entries], where / "Annotations")
    bounds = np.array([box for annotation in annotations for box in annotation.bounds], np.float64).reshape(-1, 4)
    require_convention(
        bounds,
        sizes[image],
        where=where,
        expected="xmin, ymin, xmax, ymax in pixels from 1",
        reading=boxes_of_voc,
        others={"x, y, width, height": lambda numbers: numbers + np.pad(numbers[:, :2], ((0, 0), (2, 0)))},
    )
    marked = MarkedObjects(
        image=image,
        labels=np.array([number[name] for name in names], np.int64),
        boxes=voc_boxes(bounds),
        difficult=np.array([mark for annotation in annotations for mark in annotation.difficult], bool),
        crowd=np.zeros(len(names), bool),
        areas=np.full(len(names), np.nan),
        masks=None,
    )
    source = ImageFiles(f"{where.name} {split}", where, files)
    return cleaned(
        source, marked, sizes=sizes, class_names=class_names, image_ids=tuple(entry.name for entry in entries)
    )


def _lists(years: Sequence[Path]) -> dict[str, list[Path]]:
    """Returns the lists of each split."""
    tests = [year for year in years if (year / _LISTS / "test.txt").is_file()]
    if tests:
        trains = [path for year in years for path in _there(year, "trainval") or _there(year, "train", "val")]
        return {"train": trains, "test": _there(tests[0], "test")}
    divided = [year for year in years if _there(year, "train") and _there(year, "val")]
    if divided:
        return {
            "train": [path for year in divided for path in _there(year, "train")],
            "test": [path for year in divided for path in _there(year, "val")],
        }
    return {"train": [path for year in years for path in _there(year, "trainval") or _there(year, "train")], "test": []}


def _there(year: Path, *names: str) -> list[Path]:
    paths = [year / _LISTS / f"{name}.txt" for name in names]
    return [path for path in paths if path.is_file()]


def _entries(lists: Sequence[Path]) -> list[_Entry]:
    """Returns the images of some lists."""
    entries, names = [], set()
    for path in lists:
        require_regular(path)
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="surrogateescape").splitlines(), start=1):
            name = line.strip()
            if not name:
                continue
            if not stays_inside(name) or "/" in name or name in names:
                raise DataError(
                    f"Invalid line {number} of {path}: received {name[:80]!r}, expected the name of an image without "
                    "folder and ending, each once. Correct the list."
                )
            names.add(name)
            entries.append(_Entry(path.parents[2], name))
    if not entries:
        raise DataError(f"Empty lists {some([str(path) for path in lists])}: expected the name of an image per line.")
    return entries


def _annotations(entries: Sequence[_Entry]) -> list[VOCAnnotation]:
    missing = [entry.name for entry in entries if not os.path.exists(_annotation(entry))]
    if missing:
        raise DataError(
            f"Missing annotations in {entries[0].year / 'Annotations'}: {len(missing)} of {len(entries)} images, "
            f"{some(missing)}; expected an XML file for each. Add them, or remove the images from the lists."
        )
    return [read_voc_annotation(_annotation(entry)) for entry in entries]


def _annotation(entry: _Entry) -> Path:
    return entry.year / "Annotations" / f"{entry.name}.xml"


def _files(base: Path, entries: Sequence[_Entry]) -> list[str]:
    """Returns the file of each image relative to a folder; of one that is missing the name of a JPEG file."""
    endings: dict[Path, dict[str, str]] = {}
    for year in {entry.year for entry in entries}:
        folder = year / "JPEGImages"
        names = sorted(os.listdir(folder), reverse=True) if folder.is_dir() else []
        endings[year] = {os.path.splitext(name)[0]: name for name in names if name.lower().endswith(ENDINGS)}
    files = [entry.year / "JPEGImages" / endings[entry.year].get(entry.name, f"{entry.name}.jpg") for entry in entries]
    return [file.relative_to(base).as_posix() for file in files]
