"""The images of a run as the page shows them: points of a map, and rows of nearest neighbors."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from barlowtf.report.contents import EmbeddedImages
from barlowtf.report.maps import make_maps, nearest
from barlowtf.report.pictures import THUMBNAIL, Sprite, make_sprite

# Height and width of the map, and its margin, in its own units.
SIDE = 480
_MARGIN = 14
_QUERIES = 8
_NEIGHBORS = 5
# Classes take ten colors and three shapes in turn: thirty look different.
COLORS, SHAPES = 10, 3


@dataclass(frozen=True)
class ShownMap:
    """A map: its method, what a reader must know, and (left, top) of each image."""

    method: str
    caption: str
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Neighbor:
    """An image beside a query: its place in the sprite, class name, similarity, and whether the class is the query's.

    `same` is None without labels.
    """

    place: int
    number: int
    class_name: str
    similarity: float
    same: bool | None


@dataclass(frozen=True)
class NeighborRow:
    """A query, which is a `Neighbor` of similarity 1, and the images nearest to it."""

    query: Neighbor
    neighbors: list[Neighbor]


@dataclass(frozen=True)
class Atlas:
    """All that the page shows of a run's images.

    Attributes:
        images: What was embedded.
        maps: The first is shown, the others on demand.
        classes: (class, its name, how many images), by class; [] without labels.
        sprite: All images, small.
        rows: Nearest neighbors of a few images.
        neighbor_sprite: The images of `rows`, larger.
        same_class: Share of the nearest neighbors of all images that have their image's class; None without labels.
    """

    images: EmbeddedImages
    maps: list[ShownMap]
    classes: list[tuple[int, str, int]]
    sprite: Sprite
    rows: list[NeighborRow]
    neighbor_sprite: Sprite | None
    same_class: float | None

    def as_data(self) -> dict[str, Any]:
        """Returns what the page's script needs to show images on hover."""
        labels = self.images.labels
        return {
            "labels": None if labels is None else labels.tolist(),
            "names": {str(label): name for label, name, _ in self.classes},
            "ids": self.images.ids.tolist(),
            "maps": [{"caption": each.caption, "points": each.points} for each in self.maps],
            "columns": self.sprite.columns,
        }


def make_atlas(images: EmbeddedImages) -> Atlas:
    """Returns the maps and the neighbors of some images.

    Args:
        images: At least two, their features finite.
    """
    maps = [
        ShownMap(each.method, each.caption, [_point(x, y) for x, y in each.places])
        for each in make_maps(images.features)
    ]
    classes = []
    if images.labels is not None:
        found, counts = np.unique(images.labels, return_counts=True)
        classes = [(int(k), class_name(images, int(k)), int(n)) for k, n in zip(found, counts, strict=True)]
    count = min(_NEIGHBORS, len(images.ids) - 1)
    rows, sprite = _neighbor_rows(images, count)
    return Atlas(images, maps, classes, make_sprite(images.thumbnails), rows, sprite, _same_class(images, count))


def class_name(images: EmbeddedImages, label: int) -> str:
    """Returns the name of a class, its number where it has none."""
    names = images.class_names
    return names[label] if names is not None and label < len(names) else str(label)


def pick_queries(images: EmbeddedImages, count: int = _QUERIES) -> np.ndarray:
    """Returns the images whose neighbors are shown: the first of each of some classes, evenly spread.

    They are the first ones, not the best ones. Without labels, or with fewer classes, the first images fill up.
    """
    first = np.arange(len(images.ids))
    if images.labels is not None:
        _, leaders = np.unique(images.labels, return_index=True)
        if len(leaders) > count:
            leaders = leaders[np.linspace(0, len(leaders) - 1, count).round().astype(int)]
        first = np.concatenate([leaders, np.setdiff1d(first, leaders)])
    return first[:count]


def _point(x: float, y: float) -> tuple[float, float]:
    """Places in [0, 1]² as the map's units, the vertical axis upwards."""
    extent = SIDE - 2 * _MARGIN
    return round(float(_MARGIN + extent * x), 1), round(float(_MARGIN + extent * (1 - y)), 1)


def _neighbor_rows(images: EmbeddedImages, count: int) -> tuple[list[NeighborRow], Sprite]:
    queries = pick_queries(images)
    found, similarities = nearest(images.features, queries, count)
    # Which images are shown, and where in the sprite each of them lies.
    shown = np.unique(np.concatenate([queries, found.ravel()]))
    place = {int(row): number for number, row in enumerate(shown)}
    labels = images.labels

    def neighbor(row: int, query: int, similarity: float) -> Neighbor:
        name = "" if labels is None else class_name(images, int(labels[row]))
        same = None if labels is None else bool(labels[row] == labels[query])
        return Neighbor(place[row], int(images.ids[row]), name, similarity, same)

    rows = []
    for query, near, values in zip(queries.tolist(), found.tolist(), similarities.tolist(), strict=True):
        neighbors = [neighbor(row, query, value) for row, value in zip(near, values, strict=True)]
        rows.append(NeighborRow(neighbor(query, query, 1.0), neighbors))
    return rows, make_sprite(images.thumbnails[shown], THUMBNAIL)


def _same_class(images: EmbeddedImages, count: int) -> float | None:
    if images.labels is None:
        return None
    found, _ = nearest(images.features, np.arange(len(images.ids)), count)
    return float(np.mean(images.labels[found] == images.labels[:, None]))
