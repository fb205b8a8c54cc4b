"""Data source `folder`: images in class folders or flat; with several classes per image: VOC, or tables of labels."""

import os
from collections.abc import Iterator
from pathlib import Path

from barlowtf.data.image_files import TEST_FOLDERS, ImageFiles
from barlowtf.data.kind import SourceKind
from barlowtf.data.label_table import has_label_table, label_table
from barlowtf.data.multi_label import MultiLabelSet
from barlowtf.data.npy import LABELS_ENDING
from barlowtf.data.voc_folder import find_voc_folder, voc_folder
from barlowtf.errors import DataError
from barlowtf.places import similar_path

_ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif"),
    *(".webp", ".tif", ".tiff", ".ppm", ".pgm", ".npy"),
)
# What macOS, Windows and storage servers leave in folders, beside what begins with a dot. Some of it holds thumbnails.
_FOREIGN_FOLDERS = ("__macosx", "@eadir", "$recycle.bin", "#recycle", "system volume information", "lost+found")
_MULTI_LABEL_SYNTAX = (
    "a folder that holds VOC2007, or a folder with train/, test/ and beside them train.csv and test.csv "
    "(file,CLASS1,CLASS2,...)"
)


def folder_source(folder: Path, split: str) -> ImageFiles | None:
    """Returns the images of a folder, sorted by path; labels where they lie in two or more class folders.

    Splits: `folder`/train, and the first of `folder`/val, validation and test that exists. A folder without these is
    the train split. Classes: the first folder below the split; deeper folders belong to it. Images beside the class
    folders have no class, so then none has one. Hidden files and folders are skipped, and folders that
    systems leave behind (__MACOSX, @eaDir); links are followed, but not one to a folder that it lies in.

    Args:
        folder: The data set.
        split: "train" or "test".

    Returns:
        The split, or None when `folder` has no test split.

    Raises:
        DataError: `folder` is missing, not a folder, empty, or without images.
    """
    if not folder.exists():
        raise DataError(
            f"Invalid folder {folder}: it does not exist, expected a folder of images.{similar_path(folder)}"
        )
    if not folder.is_dir():
        raise DataError(
            f"Invalid folder {folder}: it is a file, expected a folder of images. "
            "Unpack an archive; a file of many images goes by its kind: table:FILE (CSV, TSV, JSON lines), npy:FILE or "
            "tfrecord:GLOB."
        )
    train, test = _split_folders(folder)
    chosen = test if split == "test" else train
    if chosen is None:
        return None
    files = sorted(_images(chosen))
    if not files:
        found = "other files only" if any(chosen.iterdir()) else "an empty folder"
        raise DataError(f"No images in {chosen}: received {found}, expected files ending in {', '.join(_ENDINGS)}.")
    # One numbering for both splits, even where a class has no test image.
    roots = [root for root in (train, test) if root is not None]
    class_names = sorted({name for root in roots for name in _visible_folders(root)})
    beside = tuple(path for path, _ in files if "/" not in path)
    labeled = len(class_names) > 1 and not beside
    # Folders without an image among them are no classes that a file could lack.
    unlabeled = beside if len({path.partition("/")[0] for path, _ in files if "/" in path}) > 1 else ()
    name, names = f"{folder.name} {split}", tuple(class_names) if labeled else None
    return ImageFiles(name, chosen, files, names, unlabeled=unlabeled)


def _split_folders(folder: Path) -> tuple[Path, Path | None]:
    """Returns the folders of the train and test splits."""
    names = _visible_folders(folder)
    test = next((name for name in TEST_FOLDERS if name in names), None)
    # "train" is also a class of vehicles: alone among others it is not a split.
    if "train" in names and (test is not None or names == {"train"}):
        return folder / "train", None if test is None else folder / test
    return folder, None


def _visible_folders(folder: Path) -> set[str]:
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries if _is_meant(entry) and entry.is_dir()}


def _is_meant(entry: os.DirEntry) -> bool:
    """Returns whether a user put it there: it is not hidden, and no system's own."""
    return not entry.name.startswith(".") and entry.name.lower() not in _FOREIGN_FOLDERS


def _images(folder: Path, prefix: str = "", above: frozenset[str] = frozenset()) -> Iterator[tuple[str, int]]:
    """Yields relative path and size in bytes of each image below `folder`; `above` are the real folders it lies in."""
    real = os.path.realpath(folder)
    if real in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name.lower()
            if not _is_meant(entry):
                continue
            if entry.is_dir():
                yield from _images(Path(entry.path), f"{prefix}{entry.name}/", above | {real})
            elif name.endswith(_ENDINGS) and not name.endswith(LABELS_ENDING):
                yield f"{prefix}{entry.name}", _bytes_of(entry)


def _bytes_of(entry: os.DirEntry) -> int:
    """Returns a file's size, 0 for a broken link: reading it will fail, and that is counted as unreadable."""
    try:
        return entry.stat().st_size
    except OSError:
        return 0


def _open(path: str, split: str) -> ImageFiles | None:
    return folder_source(Path(path).expanduser(), split)


def _open_multi_label(path: str, split: str) -> MultiLabelSet:
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise DataError(f"Invalid folder {folder}: it does not exist, expected {_MULTI_LABEL_SYNTAX}.")
    voc = find_voc_folder(folder)
    if voc is not None:
        return voc_folder(voc, split)
    if has_label_table(folder):
        return label_table(folder, split)
    raise DataError(f"No lists of classes in {folder}: expected {_MULTI_LABEL_SYNTAX}.")


FOLDER = SourceKind(prefix="", open=_open, open_multi_label=_open_multi_label, multi_label_syntax=_MULTI_LABEL_SYNTAX)
