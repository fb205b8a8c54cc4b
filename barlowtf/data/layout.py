"""How a folder of images is laid out: where its splits lie, whatever their names' case and spelling."""

import os
import re
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple

from barlowtf.data.npy import LABELS_ENDING
from barlowtf.errors import DataError

ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif"),
    *(".webp", ".tif", ".tiff", ".ppm", ".pgm", ".npy"),
)
# What macOS, Windows and storage servers leave in folders, beside what begins with a dot. Some of it holds thumbnails.
_FOREIGN_FOLDERS = ("__macosx", "@eadir", "$recycle.bin", "#recycle", "system volume information", "lost+found")
_TRAIN = ("train", "training")
# Validation first: where a data set has both, its test images often have no labels (ImageNet).
_TESTS = ("val", "valid", "validation", "dev", "test", "testing", "eval")
_PUNCTUATION = re.compile(r"[\W_]+")
# COCO puts a year behind the names.
_YEAR = re.compile(r"[-_]?(?:19|20)\d\d$")
# Folders in a folder that holds nothing else, images/train.
_DEEPEST = 3
# Where folders that cannot be read are noted; None: they are errors.
_NOTED: ContextVar[dict[str, str] | None] = ContextVar("noted", default=None)


class Layout(NamedTuple):
    """Where the splits of a data set lie.

    Attributes:
        train: Folder of the training images.
        test: Folder of the images to measure on; None: there is none.
        passed_over: Names of folders with images that lie beside the splits, and are in none.
        empty: Names of folders without an image that are called like splits.
    """

    train: Path
    test: Path | None
    passed_over: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()


def find_layout(folder: Path) -> Layout:
    """Returns where the splits of a folder lie; a folder without splits is the train split.

    Splits are folders called train or training, and val, valid, validation, dev, test, testing or eval, of which the
    first counts; in any case, also with a year behind the name, and also one folder further down: images/train. Where
    no folder has such a name and there are no others with images, folders whose names differ only in such a word are
    splits too: train_set and test_set.

    Args:
        folder: The data set; it exists.

    Raises:
        DataError: A split is there twice, a folder is called like a split and lies beside classes, or several folders
            have splits of their own.
    """
    return _find(folder, _DEEPEST)


def split_word(name: str) -> str | None:
    """Returns "train" or "test" for a folder that is called like a split, None for others."""
    bare = _bare(name)
    return "train" if bare in _TRAIN else "test" if bare in _TESTS else None


def is_image_file(path: Path) -> bool:
    """Returns whether a path is one image; a .npy file is rather a stack of them."""
    return path.suffix.lower() in ENDINGS and path.suffix.lower() != ".npy" and path.is_file()


def visible_folders(folder: Path) -> list[str]:
    """Returns the names of the folders that a user put there, sorted."""
    return sorted(entry.name for entry in _entries(folder) if _is_meant(entry) and entry.is_dir())


def image_folders(folder: Path) -> list[str]:
    """Returns the names of the folders that hold an image, however deep, sorted."""
    return [name for name in visible_folders(folder) if next(find_images(folder / name), None) is not None]


def find_images(
    folder: Path, passed_over: Counter[str] | None = None, repeated: list[str] | None = None
) -> Iterator[tuple[str, int]]:
    """Yields relative path and size in bytes of each image below a folder.

    Links are followed. Below each folder in `folder` a real folder counts once, where it lies itself before where links
    lead to it, however many do and whether or not they form a circle.

    Args:
        folder: Where to look.
        passed_over: Counts the other files by their endings.
        repeated: Receives the relative paths of links to folders that had counted already.
    """
    root = os.path.realpath(folder)
    folders: list[os.DirEntry[str]] = []
    yield from _images_in(folder, "", folders, passed_over)
    for entry in folders:
        yield from _images_below(entry, root, passed_over, repeated)


def _images_below(
    top: os.DirEntry[str], root: str, passed_over: Counter[str] | None, repeated: list[str] | None
) -> Iterator[tuple[str, int]]:
    """Yields the images of one folder in `root` and of the folders in it, those behind links last."""
    counted, links = {root}, deque([(top.path, top.name)])
    while links:
        folders = [links.popleft()]
        while folders:
            path, name = folders.pop()
            real = os.path.realpath(path)
            if real in counted:
                if repeated is not None:
                    repeated.append(name)
                continue
            counted.add(real)
            inner: list[os.DirEntry[str]] = []
            yield from _images_in(Path(path), f"{name}/", inner, passed_over)
            for entry in inner:
                (links if entry.is_symlink() else folders).append((entry.path, f"{name}/{entry.name}"))


def _images_in(
    folder: Path, prefix: str, folders: list[os.DirEntry[str]], passed_over: Counter[str] | None
) -> Iterator[tuple[str, int]]:
    """Yields the images that lie in a folder itself, and appends the folders in it, sorted by name."""
    inner = []
    for entry in _entries(folder):
        name = entry.name.lower()
        if not _is_meant(entry):
            continue
        if entry.is_dir():
            inner.append(entry)
        elif _is_special(entry):
            # Opening a pipe or a device may wait without end.
            if passed_over is not None:
                passed_over["special"] += 1
        elif _is_image(name):
            yield f"{prefix}{entry.name}", _bytes_of(entry)
        elif passed_over is not None:
            passed_over[os.path.splitext(name)[1] or "no ending"] += 1
    folders += sorted(inner, key=lambda entry: entry.name)


@contextmanager
def noting_unreadable_folders() -> Iterator[dict[str, str]]:
    """Passes over folders that cannot be read, which are errors elsewhere; gives path -> why of each, as it is met."""
    noted: dict[str, str] = {}
    token = _NOTED.set(noted)
    try:
        yield noted
    finally:
        _NOTED.reset(token)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yields what lies in a folder."""
    try:
        opened = os.scandir(folder)
    except OSError as error:
        noted = _NOTED.get()
        if noted is None:
            raise
        noted[str(folder)] = error.strerror or str(error)
        return
    with opened as entries:
        yield from entries


def _find(folder: Path, deepest: int) -> Layout:
    names = visible_folders(folder)
    empty = _empty_splits(folder, names)
    names = [name for name in names if name not in empty]
    trains = [name for name in names if _bare(name) in _TRAIN]
    tests = sorted((name for name in names if _bare(name) in _TESTS), key=lambda name: _TESTS.index(_bare(name)))
    others = [name for name in names if name not in trains and name not in tests]
    if not trains and not tests:
        inner = image_folders(folder)
        alike = _alike(folder, inner)
        if alike is None:
            _require_no_splits_inside(folder, inner)
            return _below(folder, inner, deepest) or Layout(folder, None)
        return alike
    if not trains and names == tests[:1]:
        return Layout(folder, None)
    for same in (trains, [name for name in tests if _bare(name) == _bare(tests[0])] if tests else []):
        if len(same) > 1:
            raise DataError(f"Two splits of one name in {folder}: {', '.join(same)}. Move one of them away.")
    if not trains:
        raise DataError(
            f"No training images in {folder}: there is {tests[0]}, a split by its name, and no train. Move the "
            "training images into train/; a class needs another name."
        )
    beside = tuple(name for name in others if next(find_images(folder / name), None) is not None)
    if beside and not tests:
        raise DataError(
            f"{trains[0]} lies beside {_some(beside)} in {folder}: a split or a class? Where it is a split, move the "
            "others away or add val/; where it is a class, give it another name."
        )
    return Layout(folder / trains[0], folder / tests[0] if tests else None, (*beside, *tests[1:]), empty)


def _empty_splits(folder: Path, names: list[str]) -> tuple[str, ...]:
    """Returns the folders without an image that are called like splits, but for the only one to train on."""
    trains, tests = ([name for name in names if _bare(name) in words] for words in (_TRAIN, _TESTS))
    held = {name for name in (*trains, *tests) if next(find_images(folder / name), None) is not None}
    checked = trains if held & set(trains) else []
    return tuple(name for name in (*checked, *tests) if name not in held)


def _alike(folder: Path, inner: list[str]) -> Layout | None:
    """Returns the splits whose names differ only in the word that says which, train_set and test_set; None: no such."""
    trains, tests = ({name: _around(name, words) for name in inner} for words in (_TRAIN, _TESTS))
    pairs = {rest for around in trains.values() for rest in around} & {
        rest for found in tests.values() for rest in found
    }
    if not pairs:
        return None
    train = [name for name in inner if pairs & trains[name].keys()]
    test = [name for name in inner if pairs & tests[name].keys() and name not in train]
    others = tuple(name for name in inner if name not in train and name not in test)
    if not test:
        return None
    stray = others or (("single images",) if has_images_beside(folder) else ())
    if len(train) > 1 or stray:
        beside = f", beside {_some(stray)}," if stray else ""
        raise DataError(
            f"{_some((*train, *test))}{beside} in {folder}: splits or classes? Where they are splits, call one train "
            "and one test, and move the others away; where they are classes, give them other names."
        )
    order = sorted(test, key=lambda name: min(_TESTS.index(tests[name][rest]) for rest in pairs & tests[name].keys()))
    return Layout(folder / train[0], folder / order[0], tuple(order[1:]))


def _around(name: str, words: tuple[str, ...]) -> dict[str, str]:
    """Returns what is left of a name without each of these words that it holds: "set" of "train_set"."""
    found: dict[str, str] = {}
    for word in words:
        before, held, after = _bare(name).partition(word)
        if held:
            found.setdefault(f"{_PUNCTUATION.sub('', before)}/{_PUNCTUATION.sub('', after)}", word)
    return found


def _require_no_splits_inside(folder: Path, inner: list[str]) -> None:
    """Raises DataError where folders that would be classes have splits of their own."""
    if len(inner) < 2:
        return
    splits = {name: [_bare(part) for part in visible_folders(folder / name)] for name in inner}
    trained = [name for name in inner if set(splits[name]) & set(_TRAIN)]
    whole = [name for name in trained if set(splits[name]) & set(_TESTS)]
    if whole or len(trained) == len(inner):
        which = tuple(whole or trained)
        own = "has splits of its own" if len(which) == 1 else "have splits of their own"
        raise DataError(
            f"{_some(which)} in {folder} {own}: data sets, or classes? For data sets, give one of them: "
            f"{folder / which[0]}. For classes, put them into the splits: train/{which[0]}."
        )


def _below(folder: Path, inner: list[str], deepest: int) -> Layout | None:
    """Returns the splits in the only folder with images, None where it has none or is not the only one."""
    if not deepest or len(inner) != 1 or has_images_beside(folder):
        return None
    found = _find(folder / inner[0], deepest - 1)
    return found if found.train != folder / inner[0] else None


def has_images_beside(folder: Path) -> bool:
    """Returns whether images lie in a folder itself."""
    return any(_is_meant(entry) and not entry.is_dir() and _is_image(entry.name.lower()) for entry in _entries(folder))


def _is_image(name: str) -> bool:
    return name.endswith(ENDINGS) and not name.endswith(LABELS_ENDING)


def _bare(name: str) -> str:
    return _YEAR.sub("", name.casefold())


def _is_meant(entry: os.DirEntry[str]) -> bool:
    """Returns whether a user put it there: it is not hidden, and no system's own."""
    return not entry.name.startswith(".") and entry.name.lower() not in _FOREIGN_FOLDERS


def _is_special(entry: os.DirEntry[str]) -> bool:
    """Returns whether it is neither a file nor a folder, but there; a broken link is a file that cannot be read."""
    return not entry.is_file() and os.path.exists(entry.path)


def _bytes_of(entry: os.DirEntry[str]) -> int:
    """Returns a file's size, 0 for a broken link: reading it will fail, and that is counted as unreadable."""
    try:
        return entry.stat().st_size
    except OSError:
        return 0


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (" and others" if len(names) > 3 else "")
