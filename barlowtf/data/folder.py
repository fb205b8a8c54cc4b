"""A folder of images: class folders or flat."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from barlowtf.data.source import Source
from barlowtf.errors import DataError

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif")
# Validation first: where a data set has both, its test images often have no labels (ImageNet).
TEST_FOLDERS = ("val", "validation", "test")


class FolderSource(Source):
    """Image files, read when they are needed."""

    def __init__(
        self, name: str, folder: Path, files: list[tuple[str, int]], class_names: tuple[str, ...] | None = None
    ) -> None:
        """Keeps the paths.

        Args:
            name: Short name for messages.
            folder: Where the files lie.
            files: Path relative to `folder` with "/" between its parts, and size in bytes, of each image.
            class_names: First part of each path, sorted; None when the files have no labels.
        """
        digest = hashlib.sha256()
        for path, length in files:
            digest.update(os.fsencode(path) + b"\0%d\0" % length)
        super().__init__(name=name, size=len(files), fingerprint=digest.hexdigest(), has_labels=class_names is not None)
        # Bytes, not text: a file name on Linux need not be UTF-8.
        self._paths = tf.constant([os.fsencode(folder / path) for path, _ in files])
        self._class_names = class_names
        if class_names is not None:
            number = {label: index for index, label in enumerate(class_names)}
            self._labels = np.array([number[path.partition("/")[0]] for path, _ in files], np.int64)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the class folders, sorted; None without labels."""
        return self._class_names

    def read(self, index: tf.Tensor) -> tf.Tensor:
        """Returns the bytes of file `index`, string []."""
        return tf.io.read_file(tf.gather(self._paths, index))

    def identify(self, index: int) -> str:
        """Returns the path of file `index`."""
        return os.fsdecode(self._paths[index].numpy())

    def _read_labels(self, ids: np.ndarray) -> np.ndarray:
        return self._labels[ids]


def folder_source(folder: Path, split: str) -> FolderSource | None:
    """Returns the images of a folder, sorted by path; labels where they lie in two or more class folders.

    Splits: `folder`/train, and the first of `folder`/val, validation and test that exists. A folder without these is
    the train split. Classes: the first folder below the split; deeper folders belong to it. Images beside the class
    folders have no class, so then none has. Hidden files and folders are passed over, links are followed.

    Args:
        folder: The data set.
        split: "train" or "test".

    Returns:
        The split, or None when `folder` has no test split.

    Raises:
        DataError: `folder` is missing, no folder, empty, or without images.
    """
    if not folder.exists():
        raise DataError(f"No such folder: {folder}. Expected a folder of images. Check the path.")
    if not folder.is_dir():
        raise DataError(f"Not a folder: {folder}. Expected a folder of images, not one file.")
    train, test = _split_folders(folder)
    chosen = test if split == "test" else train
    if chosen is None:
        return None
    files = sorted(_images(chosen))
    if not files:
        found = "It is empty." if not any(chosen.iterdir()) else "Received other files only."
        raise DataError(f"No images in {chosen}. {found} Expected files ending in {', '.join(ENDINGS)}.")
    # One numbering for both splits, even where a class has no test image.
    roots = [root for root in (train, test) if root is not None]
    class_names = sorted({name for root in roots for name in _visible_folders(root)})
    labelled = len(class_names) > 1 and all("/" in path for path, _ in files)
    return FolderSource(f"{folder.name} {split}", chosen, files, tuple(class_names) if labelled else None)


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
        return {entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")}


def _images(folder: Path, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Yields relative path and size in bytes of each image below `folder`."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _images(Path(entry.path), f"{prefix}{entry.name}/")
            elif entry.name.lower().endswith(ENDINGS):
                yield f"{prefix}{entry.name}", _bytes_of(entry)


def _bytes_of(entry: os.DirEntry) -> int:
    """Returns a file's size, 0 for a link to nothing: reading it will fail, and that is counted as unreadable."""
    try:
        return entry.stat().st_size
    except OSError:
        return 0
