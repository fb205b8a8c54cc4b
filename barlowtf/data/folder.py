"""Data source `folder`: images in class folders or flat; of several classes each; with boxes, as VOC and COCO."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from barlowtf.data.image_files import ImageFiles
from barlowtf.data.kind import SourceKind
from barlowtf.data.label_table import has_label_table, label_table
from barlowtf.data.layout import (
    ENDINGS,
    Layout,
    find_images,
    find_layout,
    image_folders,
    is_image_file,
    visible_folders,
)
from barlowtf.data.multi_label import MultiLabelSet
from barlowtf.data.nesting import enter_nested, note_on_one_folder
from barlowtf.data.objects.annotations import ObjectSet
from barlowtf.data.objects.coco_folder import coco_objects, find_coco_files
from barlowtf.data.objects.voc_devkit import find_voc_years, voc_objects
from barlowtf.data.voc_folder import find_voc_folder, voc_folder
from barlowtf.errors import DataError
from barlowtf.places import given_path, similar_path
from barlowtf.regular import kind_of

# Images beside class folders, up to one in so many, are strays: the others keep their classes.
_STRAYS = 10
_SHOWN = 3
# Begins the note on images that are left out, which are `unlabeled`, too.
BESIDE_CLASSES = "Left out, beside the class folders: "
_MULTI_LABEL_SYNTAX = (
    "a folder that holds VOC2007, or a folder with train/, test/ and beside them train.csv and test.csv "
    "(file,CLASS1,CLASS2,...)"
)
_OBJECTS_SYNTAX = (
    "a folder with Annotations/, ImageSets/Main/ and JPEGImages/ as VOC has it, or with "
    "annotations/instances_train2017.json as COCO has it"
)


def folder_source(folder: Path, split: str) -> ImageFiles | None:
    """Returns the images of a folder, sorted by path; labels where they lie in two or more class folders.

    Splits: see `barlowtf.data.layout` and `barlowtf.data.nesting`. Classes: the first folder below the split that holds
    an image; deeper folders belong to it. A few images beside class folders are left out; with many of them none has a
    class. The test images have no labels where they lie in none of the training classes. Hidden files and folders are
    skipped, and folders that systems leave behind (__MACOSX, @eaDir); links are followed, but in each class a folder
    counts once.

    Args:
        folder: The data set.
        split: "train" or "test".

    Returns:
        The split, or None when `folder` has no test split.

    Raises:
        DataError: `folder` is missing, not a folder, empty, or without images.
    """
    _require_folder(folder, "a folder of images")
    layout, entered = enter_nested(folder, find_layout(folder))
    chosen = layout.test if split == "test" else layout.train
    if chosen is None:
        return None
    others: Counter[str] = Counter()
    repeated: list[str] = []
    files = sorted(find_images(chosen, others, repeated))
    if not files:
        found = f"other files only ({_counted(others)})" if others else "no files"
        raise DataError(f"No images in {chosen}: received {found}, expected files ending in {', '.join(ENDINGS)}.")
    # One numbering for both splits, even where a class has no test image.
    train, test = (set() if root is None else set(image_folders(root)) for root in (layout.train, layout.test))
    empty = sorted(set(visible_folders(chosen)) - (test if split == "test" else train))
    notes = [*entered, *_notes(layout, empty, others, sorted(repeated))]
    if test and not train & test:
        notes.append(f"The folders of the test images, {_some(sorted(test))}, are no training classes: no labels.")
        train, test = (train, set()) if split == "train" else (set(), set())
    elif train and test - train:
        notes.append(f"Classes with test images alone: {_some(sorted(test - train))}.")
    class_names = sorted(train | test)
    if len(class_names) == 1 and (test if split == "test" else train):
        lost = note_on_one_folder(chosen, class_names[0], is_split=layout.test is not None or chosen != folder)
        notes += [] if lost is None else [lost]
    beside = tuple(path for path, _ in files if "/" not in path)
    labeled = len(class_names) > 1 and _STRAYS * len(beside) <= len(files) - len(beside)
    if labeled and beside:
        notes.append(f"{BESIDE_CLASSES}{_some(beside)}.")
        files = [file for file in files if "/" in file[0]]
    unlabeled = beside if len(class_names) > 1 else ()
    name, names = f"{folder.name} {split}", tuple(class_names) if labeled else None
    return ImageFiles(name, chosen, files, names, unlabeled=unlabeled, notes=tuple(notes))


def _require_folder(folder: Path, expected: str) -> None:
    """Raises DataError for a path that is no folder, with what to give instead."""
    if not os.path.exists(folder):
        raise DataError(f"Invalid folder {folder}: it does not exist, expected {expected}.{similar_path(folder)}")
    if is_image_file(folder):
        raise DataError(
            f"Invalid folder {folder}: it is one image, expected {expected}. Give the folder that it lies in; "
            "one image alone is for barlowtf predict, embed and search."
        )
    if not folder.is_dir():
        raise DataError(
            f"Invalid folder {folder}: it is {kind_of(folder)}, expected {expected}. "
            "Unpack an archive; a file of many images goes by its kind: table:FILE (CSV, TSV, JSON lines), npy:FILE or "
            "tfrecord:GLOB."
        )


def _notes(layout: Layout, empty: Sequence[str], others: Counter[str], repeated: Sequence[str]) -> list[str]:
    """Returns what was passed over, one line each."""
    kinds = (
        ("folders with images beside the splits", _some(layout.passed_over)),
        ("splits without images", _some(layout.empty)),
        ("folders without images", _some(empty)),
        ("links to folders that had counted already", _some(repeated)),
        ("other files", _counted(others)),
    )
    return [f"Passed over, {kind}: {names}." for kind, names in kinds if names]


def _counted(others: Counter[str]) -> str:
    """Returns "3 .txt, 1 .heic", the most frequent endings first."""
    by_count = sorted(others.items(), key=lambda item: (-item[1], item[0]))
    return _some([f"{count:,} {ending}" for ending, count in by_count])


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else "")


def _open(path: str, split: str) -> ImageFiles | None:
    return folder_source(given_path(path), split)


def _open_multi_label(path: str, split: str) -> MultiLabelSet:
    folder = given_path(path)
    _require_folder(folder, _MULTI_LABEL_SYNTAX)
    voc = find_voc_folder(folder)
    if voc is not None:
        return voc_folder(voc, split)
    if has_label_table(folder):
        return label_table(folder, split)
    raise DataError(f"No lists of classes in {folder}: expected {_MULTI_LABEL_SYNTAX}.")


def _open_objects(path: str, split: str) -> ObjectSet:
    folder = given_path(path)
    _require_folder(folder, _OBJECTS_SYNTAX)
    years = find_voc_years(folder)
    if years:
        return voc_objects(years, split)
    layout = find_coco_files(folder)
    if layout is not None:
        return coco_objects(folder, layout, split)
    raise DataError(f"No boxes in {folder}: received no annotations, expected {_OBJECTS_SYNTAX}. Add them.")


def _has_objects(path: str) -> bool:
    folder = given_path(path)
    return folder.is_dir() and bool(find_voc_years(folder) or find_coco_files(folder))


FOLDER = SourceKind(
    prefix="",
    open=_open,
    open_multi_label=_open_multi_label,
    multi_label_syntax=_MULTI_LABEL_SYNTAX,
    open_objects=_open_objects,
    objects_syntax=_OBJECTS_SYNTAX,
    has_objects=_has_objects,
)
