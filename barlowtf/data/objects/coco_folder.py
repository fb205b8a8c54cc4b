"""Objects of images in a folder with COCO files of annotations.

::

    COCO/annotations/instances_train2017.json   COCO/train2017/...jpg
                     instances_val2017.json          val2017/...jpg
    or  DATA/train/_annotations.coco.json, ...jpg    DATA/valid/, test/: as Roboflow writes them
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from barlowtf.data.image_files import ImageFiles
from barlowtf.data.layout import visible_folders
from barlowtf.data.objects.annotations import ObjectSet
from barlowtf.data.objects.cleaning import MarkedObjects, cleaned
from barlowtf.data.objects.coco_file import read_coco_file
from barlowtf.data.objects.coco_masks import coco_masks
from barlowtf.data.objects.conventions import require_convention
from barlowtf.data.objects.listing import annotated_files, some
from barlowtf.data.objects.sizes import file_sizes, settled_sizes
from barlowtf.errors import DataError, NoTestSplitError

# Other annotations of COCO, which lie beside those of objects.
_OTHERS = ("captions", "person_keypoints", "image_info", "stuff", "panoptic")
_TRAIN = ("train", "training", "trainval")
# Validation first: COCO's test images have no public annotations.
_TESTS = ("val", "valid", "validation", "dev", "test", "testing", "eval")
_WORDS = re.compile(r"[a-z]+")
_NAMES_LOOKED_AT = 20


class COCOLayout(NamedTuple):
    """The annotations of a folder."""

    train: Path | None
    test: Path | None
    found: tuple[Path, ...]  # all that are of objects


def find_coco_files(folder: Path) -> COCOLayout | None:
    """Returns the files of annotations in a folder, its annotations/, or the folders of its splits; None: no file.

    Args:
        folder: The data set; it exists.

    Raises:
        DataError: There are two of one split.
    """
    places = [folder, folder / "annotations", *(path for path in sorted(folder.iterdir()) if _splits(path.name))]
    found = [
        path
        for place in dict.fromkeys(places)
        if place.is_dir()
        for path in sorted(place.glob("*.json"))
        if not path.name.startswith((".", *_OTHERS))
        and (
            place.name == "annotations"
            or "coco" in _word_list(path.stem)
            or path.stem.startswith("instances")
            or _splits(path.stem)
        )
    ]
    if not found:
        return None
    splits = {path: _split(path, folder) for path in found}
    chosen: dict[str, Path] = {}
    for split, words in (("train", _TRAIN), ("test", _TESTS)):
        for word in words:
            of_word = [path for path in found if splits[path] == word]
            if len(of_word) > 1:
                raise DataError(
                    f"Two files of annotations for {split} in {folder}: received "
                    f"{some([str(path.relative_to(folder)) for path in of_word])}, expected one. Move one of them away."
                )
            if of_word:
                chosen.setdefault(split, of_word[0])
    # One file alone whose name says no split is the training images.
    if not chosen and len(found) == 1:
        chosen["train"] = found[0]
    return COCOLayout(chosen.get("train"), chosen.get("test"), tuple(found))


def coco_objects(folder: Path, layout: COCOLayout, split: str) -> ObjectSet:
    """Returns the images of a split in the order of their file, with their objects.

    Args:
        folder: The data set.
        layout: What `find_coco_files` returned.
        split: "train" or "test".

    Raises:
        NoTestSplitError: There are training images alone.
        DataError: The annotations or images cannot be used.
    """
    path = layout.train if split == "train" else layout.test
    if path is None:
        names = some([str(found.relative_to(folder)) for found in layout.found])
        expected = "val or test" if split == "test" else "train"
        raise (NoTestSplitError if split == "test" else DataError)(
            f"No {split} split in {folder}: received annotations {names}, expected another file with {expected} in its "
            "name, e.g. annotations/instances_"
            f"{'val2017.json. Add it, or name test images with --eval-data' if split == 'test' else 'train2017.json'}."
        )
    file = read_coco_file(path)
    images = _image_folder(folder, path, file.file_names)
    files = annotated_files(file.file_names, images, path)
    sizes = settled_sizes(file_sizes([images / name for name, _ in files]), file.sizes, file.file_names, path)
    require_convention(
        file.bounds,
        sizes[file.image],
        where=path,
        expected="x, y, width, height in pixels",
        reading=_corners,
        others={"x1, y1, x2, y2": lambda numbers: numbers},
    )
    marked = MarkedObjects(
        image=file.image,
        labels=file.labels,
        boxes=_corners(file.bounds),
        difficult=np.zeros(len(file.labels), bool),
        crowd=file.crowd,
        areas=file.areas,
        masks=coco_masks(file, sizes, path),
    )
    return cleaned(
        ImageFiles(f"{folder.name} {split}", images, files),
        marked,
        sizes=sizes,
        class_names=file.class_names,
        image_ids=file.image_ids,
        category_ids=file.category_ids,
    )


def _corners(numbers: np.ndarray) -> np.ndarray:
    """Returns x1, y1, x2, y2 of x, y, width, height, float64 [n, 4]."""
    return np.concatenate([numbers[:, :2], numbers[:, :2] + numbers[:, 2:]], axis=1)


def _image_folder(folder: Path, path: Path, names: list[str]) -> Path:
    """Returns where the images of a file of annotations lie: the folder with the most of its first images."""
    stem, word = path.stem.removeprefix("instances_"), _split(path, folder)
    places = [place for place in (folder / "images", folder) if place.is_dir()]
    inner = [place / name for place in places for name in visible_folders(place)]
    own = [path.parent] if path.parent.name != "annotations" else []
    of_split = [place for place in inner if word in _splits(place.name)]
    of_any = [place for place in inner if not word or not _splits(place.name)]
    candidates = [*own, *(place for place in inner if place.name == stem), *of_split, *places, *of_any]
    looked_at = [name for name in names[:_NAMES_LOOKED_AT] if "\0" not in name]
    counts = [sum(os.path.exists(place / name) for name in looked_at) for place in candidates]
    # Where none of them is there, the folder that has the name of the split is meant.
    return candidates[counts.index(max(counts))]


def _split(path: Path, folder: Path) -> str:
    """Returns the word that says of which split a file is, "" without."""
    own = _splits(path.stem)
    inherited = _splits(path.parent.name) if path.parent != folder else []
    return next(iter((*own, *inherited)), "")


def _splits(name: str) -> list[str]:
    return [word for word in _word_list(name) if word in _TRAIN or word in _TESTS]


def _word_list(name: str) -> list[str]:
    return _WORDS.findall(name.casefold())
