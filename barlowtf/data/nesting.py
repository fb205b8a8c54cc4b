"""Folders in folders of the same name, as archives unpack into them: train/train/ and DATA/DATA/."""

import os
from pathlib import Path

from barlowtf.data.layout import Layout, has_images_beside, image_folders, split_word, visible_folders

# Folders of one name in each other.
_DEEPEST = 3


def enter_nested(folder: Path, layout: Layout) -> tuple[Layout, tuple[str, ...]]:
    """Returns a layout whose splits are the folders of the same name inside them, where these hold all there is.

    A folder is entered where exactly one of its folders holds images, that one has its name or is called like the same
    split, holds folders with images, and no image lies beside it. So no folder is left out, and no class is lost: one
    folder would be one class, which is no label.

    Args:
        folder: The data set.
        layout: Where its splits lie.

    Returns:
        The layout, and a line on each folder that was entered.
    """
    train = _innermost(layout.train, layout.test)
    test = None if layout.test is None else _innermost(layout.test, layout.train)
    entered = [(a, b) for a, b in ((layout.train, train), (layout.test, test)) if a and b and a != b]
    notes = tuple(
        f"Read {_name(outer)}/{inner.relative_to(outer)} in place of {_name(outer)}, which holds no other images."
        for outer, inner in entered
    )
    return layout._replace(train=train, test=test), notes


def note_on_one_folder(folder: Path, only: str, *, is_split: bool) -> str | None:
    """Returns a line on labels that are lost because all folders with images lie in one; None: there are not two.

    Args:
        folder: A split, or a data set without splits.
        only: Name of the only folder with images in it.
        is_split: Whether `folder` is a split.
    """
    inner = image_folders(folder / only)
    for _ in range(_DEEPEST):
        if len(inner) == 1:
            only = f"{only}/{inner[0]}"
            inner = image_folders(folder / only)
    if len(inner) < 2:
        return None
    shown = ", ".join(inner[:3]) + (f" and {len(inner) - 3:,} more" if len(inner) > 3 else "")
    change = f"move them into {folder}" if is_split else f"give {folder / only}"
    return (
        f"No labels: {only} is the only folder with images in {folder}. Where its folders, {shown}, are the classes, "
        f"{change}."
    )


def _innermost(folder: Path, other: Path | None) -> Path:
    """Returns the last of the folders of one name, each of which holds the next and nothing else."""
    # A folder of both splits is a class.
    classes = () if other is None else visible_folders(other)
    for _ in range(_DEEPEST):
        inner = _nested(folder)
        if inner is None or inner.name in classes:
            break
        folder = inner
    return folder


def _nested(folder: Path) -> Path | None:
    own = _name(folder)
    # Cheap before dear: most folders hold none of their own name.
    if not any(_is_same(own, name) for name in visible_folders(folder)):
        return None
    inner = image_folders(folder)
    if len(inner) != 1 or not _is_same(own, inner[0]) or has_images_beside(folder):
        return None
    return folder / inner[0] if image_folders(folder / inner[0]) else None


def _name(folder: Path) -> str:
    """Returns the name of a folder, also of "."."""
    return os.path.basename(os.path.abspath(folder))


def _is_same(outer: str, inner: str) -> bool:
    """Returns whether two folders have one name, or are called like the same split."""
    return outer.casefold() == inner.casefold() or (
        split_word(outer) is not None and split_word(outer) == split_word(inner)
    )
