"""From a SPEC to a data set: an entry of `SOURCES` or a user's own."""

import os
from pathlib import Path
from typing import Any, Literal, overload

from barlowtf.data.kind import SourceKind
from barlowtf.data.multi_label import MultiLabelSet
from barlowtf.data.source import Source
from barlowtf.doors import is_own, load_own, require_trusted
from barlowtf.errors import BarlowTFError, ConfigError, DataError
from barlowtf.places import given_path
from barlowtf.tables import SOURCES, source_syntax


@overload
def open_source(spec: str, split: Literal["train"]) -> Source: ...


@overload
def open_source(spec: str, split: str) -> Source | None: ...


def open_source(spec: str, split: str) -> Source | None:
    """Returns the data set that a SPEC names.

    Args:
        spec: One of the forms in `SOURCES`, or a user's own: "FILE.py:NAME" or "PACKAGE.MODULE:NAME", where NAME is a
            function from the split to a `Source` or None, or a `SourceKind`. An entry's prefix comes first: "tfds:x"
            is never a user's own.
        split: "train" or "test".

    Returns:
        The split; None for "test" when the data set has no test split.

    Raises:
        ValueError: Unknown split.
        DataError: There is no such data set, or it cannot be used.
    """
    check_split(split)
    kind, rest = find_kind(spec)
    return kind.open(rest, split)


def open_multi_label(spec: str, split: str) -> MultiLabelSet:
    """Returns the images and targets of a data set whose images may show several classes at once.

    Args:
        spec: A SPEC, as in `open_source`, of a kind that has such images.
        split: "train" (VOC: trainval) or "test".

    Raises:
        ValueError: Unknown split.
        DataError: There is no such data set, it cannot be used, or its images have one class each.
    """
    check_split(split)
    try:
        kind, rest = find_kind(spec)
    except DataError as error:
        raise DataError(f"{error} For images with several classes: {_multi_label_syntax()}.") from error
    if kind.open_multi_label is None:
        raise DataError(
            f"Invalid data {spec!r}: its images have one class each, expected images with several classes: "
            f"{_multi_label_syntax()}."
        )
    return kind.open_multi_label(rest, split)


def check_split(split: str) -> None:
    """Raises ValueError where a split is neither "train" nor "test"."""
    if split not in ("train", "test"):
        raise ValueError(f'Invalid split: received {split!r}, expected "train" or "test".')


def find_kind(spec: str) -> tuple[SourceKind, str]:
    """Returns the kind of a SPEC, and the SPEC without the kind's prefix.

    Raises:
        DataError: There is none.
    """
    kinds = list(SOURCES.values())
    for kind in kinds:
        if kind.prefix and kind.matches(spec):
            return kind, spec.removeprefix(kind.prefix)
    exists = bool(spec) and os.path.exists(given_path(spec))
    if not exists and is_own(spec):
        return _own_kind(spec), ""
    for kind in kinds:
        # A missing folder is the folder's own error; a text with a colon is more likely a mistaken prefix.
        if kind.matches(spec) and (exists or ":" not in spec):
            return kind, spec
    raise DataError(f"Unknown data: received {spec!r}, expected {source_syntax()}.")


def require_trusted_data(spec: str, *, named_in: str | Path, trust: bool) -> None:
    """Refuses to open data by code that a file from elsewhere names, see `barlowtf.doors.require_trusted`.

    Args:
        spec: A SPEC.
        named_in: The file.
        trust: Whether it is trusted.

    Raises:
        DataError: The code would be imported now.
    """
    prefixed = any(kind.prefix and kind.matches(spec) for kind in SOURCES.values())
    if prefixed or (spec and os.path.exists(given_path(spec))):
        return
    try:
        require_trusted(spec, SOURCES.kind, named_in=named_in, trust=trust)
    except ConfigError as error:
        raise DataError(f"{error} Or give other images with --data.") from error


def _own_kind(spec: str) -> SourceKind:
    """Returns the kind of a user's own source."""
    try:
        entry = load_own(spec, SOURCES.kind)
    except ConfigError as error:
        raise DataError(f"{error} Expected {source_syntax()}.") from error
    if isinstance(entry, SourceKind):
        return entry
    if not callable(entry):
        raise DataError(
            f"Invalid data {spec!r}: received a {type(entry).__name__}, expected a function from the split to a "
            "barlowtf.data.Source, or a barlowtf.data.SourceKind."
        )

    def open_split(rest: str, split: str) -> Source | None:
        return _call(spec, entry, split)

    return SourceKind(prefix="", open=open_split)


def _call(spec: str, entry: Any, split: str) -> Source | None:
    """Returns what a user's function makes of a split."""
    try:
        source = entry(split)
    except BarlowTFError:
        raise
    # A user's function runs the user's code, which may raise anything.
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        raise DataError(f"Cannot open {spec!r}: {type(error).__name__}: {lines[0]}") from error
    if isinstance(source, Source) or (source is None and split == "test"):
        return source
    expected = "a barlowtf.data.Source" if split == "train" else "a barlowtf.data.Source or None"
    raise DataError(f'Invalid data {spec!r}: received {source!r} for split "{split}", expected {expected}.')


def _multi_label_syntax() -> str:
    return ", or ".join(kind.multi_label_syntax for kind in SOURCES.values() if kind.multi_label_syntax)
