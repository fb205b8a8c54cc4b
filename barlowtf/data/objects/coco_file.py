"""A COCO file of annotations: images, categories and objects, each checked."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from barlowtf.data.objects.listing import some
from barlowtf.errors import DataError
from barlowtf.regular import require_regular

_LISTS = ("images", "annotations", "categories")
_LARGEST = 2**63 - 1


class COCOFile(NamedTuple):
    """What a file says of N images and n objects."""

    image_ids: tuple[str | int, ...]  # [N]
    file_names: list[str]  # [N]
    sizes: np.ndarray  # int64 [N, 2], stated height and width; 0: not stated
    class_names: tuple[str, ...]  # [K], by their ids
    category_ids: tuple[int, ...]  # [K], rising
    ids: list[Any]  # [n], of the objects, None without
    image: np.ndarray  # int64 [n], number of the image
    labels: np.ndarray  # int64 [n]
    bounds: np.ndarray  # float64 [n, 4] = x, y, width, height
    crowd: np.ndarray  # bool [n]
    areas: np.ndarray  # float64 [n]; NaN: not stated
    segmentations: list[Any]  # [n], as the file has them


def read_coco_file(path: Path) -> COCOFile:
    """Returns what a file of annotations says.

    Args:
        path: The file.

    Raises:
        DataError: It is no such file, or an entry cannot be used.
    """
    content = _content(path)
    images, annotations, categories = (content[name] for name in _LISTS)
    for name in _LISTS:
        wrong = next((place for place, entry in enumerate(content[name]) if not isinstance(entry, dict)), None)
        if wrong is not None:
            raise DataError(
                f"Invalid {name}[{wrong}] in {path}: received {_shown(content[name][wrong])}, expected an object. "
                "Correct the file."
            )
    if not images:
        raise DataError(f"No images in {path}: received an empty list, expected at least one image.")
    categories = sorted(categories, key=lambda entry: entry["id"] if type(entry.get("id")) is int else 0)
    category_ids = tuple(_field(path, "category", entry, "id", int) for entry in categories)
    class_names = tuple(_field(path, "category", entry, "name", str) for entry in categories)
    image_ids = tuple(_field(path, "image", entry, "id", int, str) for entry in images)
    for what, values in (
        ("image ids", image_ids),
        ("category ids", category_ids),
        ("category names", class_names),
        ("annotation ids", [entry["id"] for entry in annotations if isinstance(entry.get("id"), (int, str))]),
    ):
        _require_each_once(path, what, values)
    return COCOFile(
        image_ids,
        [_field(path, "image", entry, "file_name", str) for entry in images],
        np.array([[_side(entry.get(side)) for side in ("height", "width")] for entry in images], np.int64),
        class_names,
        category_ids,
        [entry.get("id") for entry in annotations],
        _numbers(path, annotations, "image_id", "images", image_ids),
        _numbers(path, annotations, "category_id", "categories", category_ids),
        _bounds(path, annotations),
        np.array([_is_crowd(path, entry) for entry in annotations], bool),
        np.array([_area(path, entry) for entry in annotations], np.float64),
        [entry.get("segmentation") for entry in annotations],
    )


def _content(path: Path) -> dict[str, list[Any]]:
    """Returns the three lists of a file."""
    expected = "expected COCO annotations: an object with lists images, annotations and categories"
    try:
        require_regular(path)
        content = json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"Invalid annotations {path}: byte {error.start:,} is not UTF-8, {expected}.") from error
    except RecursionError as error:
        raise DataError(f"Invalid annotations {path}: received JSON that is nested too deeply, {expected}.") from error
    except ValueError as error:
        raise DataError(
            f"Invalid annotations {path}: {str(error)[:80]}, {expected}. Where the file was cut off, copy it again."
        ) from error
    if isinstance(content, list):
        raise DataError(
            f"Invalid annotations {path}: received a list of {len(content)} entries, which looks like results of a "
            f"detector, {expected}. Give the annotations."
        )
    lacking = [name for name in _LISTS if not isinstance(content, dict) or not isinstance(content.get(name), list)]
    if lacking:
        raise DataError(f"Invalid annotations {path}: received no list {', '.join(lacking)}, {expected}.")
    return content


def _field(path: Path, what: str, entry: dict[str, Any], key: str, *kinds: type) -> Any:
    """Returns a field of an image or a category."""
    value = entry.get(key)
    if type(value) in kinds and value != "" and not (type(value) is int and abs(value) > _LARGEST):
        return value
    names = " or ".join({int: "a whole number of 64 bits", str: "a text"}[kind] for kind in kinds)
    raise DataError(
        f"Invalid {key} of {what} {_shown(entry)} in {path}: received {_shown(value)}, expected {names}. Correct the "
        "file."
    )


def _require_each_once(path: Path, what: str, values: Sequence[Any]) -> None:
    twice = [value for value, count in Counter(values).items() if count > 1]
    if twice:
        raise DataError(
            f"Invalid {what} in {path}: received {some(twice)} more than once, expected each once. Remove the copies."
        )


def _numbers(path: Path, annotations: list[dict[str, Any]], key: str, of: str, ids: Sequence[Any]) -> np.ndarray:
    """Returns the number of the image or category of each object, int64 [n]."""
    number = {identity: place for place, identity in enumerate(ids)}
    values = [entry.get(key) for entry in annotations]
    # True and 1.0 equal 1, and lists cannot be looked up.
    found = [number.get(value, -1) if type(value) in (int, str) else -1 for value in values]
    unknown = [value for value, place in zip(values, found, strict=True) if place < 0]
    if unknown:
        raise DataError(
            f"Invalid {key} in {path}: {len(unknown)} of {len(values)} annotations name {some(unknown)}, expected ids "
            f"of its {len(ids)} {of}. Add these, or remove the annotations."
        )
    return np.array(found, np.int64)


def _bounds(path: Path, annotations: list[dict[str, Any]]) -> np.ndarray:
    values: list[Any] = [entry.get("bbox") for entry in annotations]
    for place, box in enumerate(values):
        if not isinstance(box, list) or len(box) != 4 or not all(_is_number(number) for number in box):
            raise DataError(
                f"Invalid bbox of annotations[{place}] in {path}: received {_shown(box)}, expected four numbers x, y, "
                "width, height in pixels. Correct the file."
            )
    return np.array([[_float(number) for number in box] for box in values], np.float64).reshape(-1, 4)


def _is_crowd(path: Path, entry: dict[str, Any]) -> bool:
    value = entry.get("iscrowd", 0)
    if value in (0, 1):
        return bool(value)
    raise DataError(f"Invalid iscrowd of an annotation in {path}: received {_shown(value)}, expected 0 or 1.")


def _area(path: Path, entry: dict[str, Any]) -> float:
    value = entry.get("area")
    if value is None:
        return np.nan
    if not _is_number(value):
        raise DataError(
            f"Invalid area of an annotation in {path}: received {_shown(value)}, expected a number of square pixels."
        )
    area = _float(value)
    return area if 0 <= area < np.inf else np.nan


def _side(value: Any) -> int:
    """Returns a stated height or width in pixels; 0: it is not stated."""
    return int(value) if _is_number(value) and 0 < value < 2**31 else 0


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return np.inf


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:56]}..."
