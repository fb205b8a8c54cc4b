"""Which images of a data set are equal, and which are nearly: by digests, and by exact nearest neighbors of vectors."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from barlowtf.metrics import nearest_neighbors

# Of a group of more images than this, each one still has a neighbor in it, so the group stays whole.
_NEIGHBORS = 8
# Deviation of a thumbnail, of 255, below which it shows noise.
_LEAST_CONTRAST = 3.0
# Variance of a direction of features, relative to the largest, below which it is rounding; images per direction.
_LEAST_VARIANCE, _IMAGES_PER_DIRECTION = 1e-7, 8


@dataclass(frozen=True)
class Group:
    """Images that are equal or nearly so.

    Attributes:
        members: Their places in what was given, rising, two or more.
        similarity: Least cosine that links one of them to the others; 1 for equal ones.
    """

    members: tuple[int, ...]
    similarity: float


def equal_groups(digests: list[bytes]) -> list[Group]:
    """Returns the groups of equal digests, in the order of their first members."""
    places: dict[bytes, list[int]] = {}
    for place, digest in enumerate(digests):
        places.setdefault(digest, []).append(place)
    return [Group(tuple(members), 1.0) for members in places.values() if len(members) > 1]


def near_groups(vectors: np.ndarray, threshold: float) -> list[Group]:
    """Returns the groups of vectors that chains of neighbors link, in the order of their first members.

    The neighbors are exact: every vector is compared with every other one, in blocks, which takes time by the square of
    their number. Of each vector the 8 nearest count.

    Args:
        vectors: float [n, d]; see `thumbnail_vectors` and `whitened`.
        threshold: Least cosine of two that belong together, in (0, 1].
    """
    count = len(vectors)
    if count < 2:
        return []
    cosines, neighbors = nearest_neighbors(vectors, vectors, neighbors=min(_NEIGHBORS + 1, count))
    rows, columns = np.nonzero(cosines >= threshold)
    others = neighbors[rows, columns]
    apart = rows != others
    rows, others, values = rows[apart], others[apart], cosines[rows[apart], columns[apart]]
    _, label = connected_components(coo_array((np.ones(len(rows)), (rows, others)), (count, count)), directed=False)
    # The best link of each vector: a group is as similar as the member that is least linked to it.
    best = np.full(count, -np.inf, np.float32)
    np.maximum.at(best, rows, values)
    np.maximum.at(best, others, values)
    members: dict[int, list[int]] = {}
    for place in np.flatnonzero(np.isfinite(best)):
        members.setdefault(int(label[place]), []).append(int(place))
    return [Group(tuple(group), float(best[group].min())) for group in members.values()]


def thumbnail_vectors(thumbnails: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns thumbnails as vectors whose cosine is their correlation, and which of them can be compared.

    Args:
        thumbnails: uint8 [n, S, S, 3].

    Returns:
        Pixels less their mean, float32 [n, S * S * 3], and whether each has enough contrast, bool [n].
    """
    vectors = thumbnails.reshape(len(thumbnails), int(np.prod(thumbnails.shape[1:]))).astype(np.float32)
    vectors -= vectors.mean(axis=1, keepdims=True)
    return vectors, vectors.std(axis=1) >= _LEAST_CONTRAST


def whitened(features: np.ndarray) -> np.ndarray:
    """Returns features along their directions of most variance, each scaled to variance 1.

    What many images share dominates the cosine of features as they are: copies that an encoder sees alike are then no
    nearer than other images of the kind (benchmarks/results/data_check.json).

    Args:
        features: float [n, d], finite.

    Returns:
        float32 [n, k], k at most d and n / 8: with more directions than images every two would be at right angles.
    """
    values = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    variances, directions = np.linalg.eigh(values.T @ values / len(values))
    kept = variances > _LEAST_VARIANCE * max(variances[-1], np.finfo(np.float64).tiny)
    kept[: max(features.shape[1] - max(len(values) // _IMAGES_PER_DIRECTION, 1), 0)] = False
    return (values @ (directions[:, kept] / np.sqrt(variances[kept]))).astype(np.float32)
