"""One XML file of VOC: the objects of an image."""

import math
import os
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import NamedTuple

import numpy as np

from barlowtf.detection import boxes_of_voc
from barlowtf.errors import DataError
from barlowtf.regular import require_regular

_BOUNDS = ("xmin", "ymin", "xmax", "ymax")
# A file of VOC has a few thousand; an annotation of a thousand objects has half a million.
_MOST_BYTES = 2**24


class VOCAnnotation(NamedTuple):
    """The objects of an image, n of them, as the file has them."""

    height: int  # 0: not stated
    width: int
    names: list[str]  # classes
    bounds: list[tuple[float, ...]]  # xmin, ymin, xmax, ymax, from 1, the last pixel included
    difficult: list[bool]


def read_voc_annotation(path: Path) -> VOCAnnotation:
    """Returns the objects of an image.

    Args:
        path: The file; from elsewhere, so it may declare no entities and has at most 16 MiB.

    Raises:
        DataError: It is missing, no such file, or damaged.
    """
    try:
        require_regular(path)
        if os.stat(path).st_size > _MOST_BYTES:
            raise _refused(path, f"it has more than {_MOST_BYTES:,} bytes")
        parser = ET.XMLParser(target=_Builder())
        parser.feed(path.read_bytes())
        root = parser.close()
    except OSError as error:
        raise DataError(
            f"Cannot read {path}: {error.strerror}. Expected the annotation of an image that is listed."
        ) from error
    # ValueError and LookupError: of encodings.
    except (ET.ParseError, ValueError, LookupError) as error:
        raise _refused(path, str(error)) from error
    if root.tag != "annotation":
        raise _refused(path, f"received <{root.tag[:40]}>")
    size = root.find("size")
    height, width = (0, 0) if size is None else (_side(path, size, side) for side in ("height", "width"))
    names, bounds, difficult = [], [], []
    for number, item in enumerate(root.findall("object"), start=1):
        name, box = (item.findtext("name") or "").strip(), item.find("bndbox")
        if not name or box is None:
            raise _refused(path, f"object {number} has no {'bndbox' if name else 'name'}")
        names.append(name)
        bounds.append(tuple(_number(path, box, bound, number) for bound in _BOUNDS))
        difficult.append((item.findtext("difficult") or "").strip() == "1")
    return VOCAnnotation(height, width, names, bounds, difficult)


def voc_boxes(bounds: np.ndarray) -> np.ndarray:
    """Returns boxes in continuous pixels from 0, as `boxes_of_voc`.

    One that ends where it begins has no extent: it is the click of an annotator rather than one pixel.

    Args:
        bounds: xmin, ymin, xmax, ymax, float64 [n, 4].

    Returns:
        float64 [n, 4] = x1, y1, x2, y2.
    """
    has_extent = np.all(bounds[:, 2:] > bounds[:, :2], axis=1)
    return np.where(has_extent[:, None], boxes_of_voc(bounds), bounds)


class _Builder(ET.TreeBuilder):
    """Refuses what can make a small file large."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("it has a DOCTYPE, which annotations have not")


def _refused(path: Path, reason: str) -> DataError:
    return DataError(
        f"Invalid annotation {path}: {reason}, expected XML as VOC has it: <annotation> with <size> and, for each "
        "<object>, <name> and <bndbox>. Correct the file."
    )


def _number(path: Path, box: ET.Element, bound: str, number: int) -> float:
    text = (box.findtext(bound) or "").strip()
    try:
        return float(text)
    except ValueError:
        raise _refused(path, f"{bound} of object {number} is {text[:40]!r}") from None


def _side(path: Path, size: ET.Element, side: str) -> int:
    """Returns a stated height or width in pixels; 0: it is not stated."""
    text = (size.findtext(side) or "0").strip()
    try:
        value = float(text)
    except ValueError:
        raise _refused(path, f"{side} is {text[:40]!r}") from None
    return int(value) if math.isfinite(value) and 0 < value < 2**31 else 0
