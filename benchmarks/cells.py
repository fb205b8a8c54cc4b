"""Cuts the cells of BCCD out of its images by their boxes: class folders, train and test as its lists say.

A cell is the square around its box, so that its shape stays; where it reaches beyond the image, the border is mirrored.

Command: python -m benchmarks.cells BCCD OUT, with the folder that holds JPEGImages, Annotations and ImageSets
"""

import logging
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image

_LOG = logging.getLogger("barlowtf")
# Square beyond the longer side of the box, so that the cell's border is seen.
_MARGIN = 1.1
_LISTS = {"train": "trainval.txt", "test": "test.txt"}


def boxes_of(annotation: Path) -> list[tuple[str, tuple[int, int, int, int]]]:
    """Returns class and box (left, top, right, bottom in pixels) of each object of an annotation file."""
    objects = []
    for item in ElementTree.parse(annotation).getroot().iter("object"):
        box = tuple(int(item.findtext(f"bndbox/{side}", "0")) for side in ("xmin", "ymin", "xmax", "ymax"))
        objects.append((item.findtext("name", ""), box))
    return objects


def cut(image: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """Returns the square around a box, uint8 [S, S, 3], S = 1.1 times the longer side."""
    left, top, right, bottom = box
    side = round(_MARGIN * max(right - left, bottom - top))
    rows = _mirrored((top + bottom - side) // 2 + np.arange(side), image.shape[0])
    columns = _mirrored((left + right - side) // 2 + np.arange(side), image.shape[1])
    return image[np.ix_(rows, columns)]


def _mirrored(places: np.ndarray, size: int) -> np.ndarray:
    """Returns places in [0, size): what lies beyond a border is its mirror image."""
    places = np.where(places < 0, -1 - places, places)
    return np.where(places >= size, 2 * size - 1 - places, places)


def cut_all(folder: Path, out: Path) -> dict[str, int]:
    """Writes OUT/SPLIT/CLASS/IMAGE-NUMBER.png and returns the number of cells of each split and class."""
    counts: dict[str, int] = {}
    for split, listed in _LISTS.items():
        for name in (folder / "ImageSets" / "Main" / listed).read_text(encoding="utf-8").split():
            image = np.asarray(Image.open(folder / "JPEGImages" / f"{name}.jpg").convert("RGB"))
            for number, (kind, box) in enumerate(boxes_of(folder / "Annotations" / f"{name}.xml")):
                if box[2] - box[0] < 8 or box[3] - box[1] < 8:
                    continue
                target = out / split / kind
                target.mkdir(parents=True, exist_ok=True)
                Image.fromarray(cut(image, box)).save(target / f"{name}-{number}.png")
                counts[f"{split}/{kind}"] = counts.get(f"{split}/{kind}", 0) + 1
    return counts


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    _LOG.info("%s", cut_all(Path(sys.argv[1]), Path(sys.argv[2])))
