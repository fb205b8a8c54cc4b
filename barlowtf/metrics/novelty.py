"""How unlike a bank of features a feature is: its distance to the k-th nearest, ranked among the bank's own distances.

Letters: M features in the bank, d their width, k the neighbor that counts, n features of the bank that give the scale.
"""

from typing import Any

import numpy as np

from barlowtf.metrics.knn import nearest_neighbors


def own_distances(bank: Any, rows: np.ndarray, *, neighbors: int) -> np.ndarray:
    """Returns the distances of features of a bank to their k-th nearest other feature in it, rising.

    Args:
        bank: Features, float [M, d], M >= 2; see `nearest_neighbors`.
        rows: Which of them give the scale, integer [n], n >= 1, each once.
        neighbors: k, from 1 to M - 1.

    Returns:
        float32 [n], cosine distances in [0, 2].

    Raises:
        ValueError: `neighbors` is not from 1 to M - 1.

    Source: Sun et al., arXiv:2204.06507, section 3, on the unit sphere as there; differs in that each feature is left
        out of its own bank, because no images are kept apart for the scale.
    """
    size = bank.shape[0]
    if not 1 <= neighbors < size:
        raise ValueError(f"Invalid neighbors: received {neighbors}, expected 1 to {size - 1}, the other features.")
    # Slices alone are what every bank has.
    queries = np.concatenate([np.asarray(bank[row : row + 1]) for row in rows.tolist()])
    similarity, index = nearest_neighbors(bank, queries, neighbors=neighbors + 1)
    others = index != rows[:, None]
    # A feature with more equals than neighbors need not be among them: then the last one is too many.
    others[others.all(axis=1), -1] = False
    return np.sort(1.0 - similarity[others].reshape(len(rows), neighbors)[:, -1])


def novelty(distances: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Returns the share of a bank's own distances that is smaller than each distance.

    Args:
        distances: Cosine distance of each query to its k-th nearest feature in the bank, float [Q].
        own: See `own_distances`, for the same k.

    Returns:
        float32 [Q] in [0, 1]. At most 1 % of the features that gave the scale have more than 0.99.
    """
    return (np.searchsorted(own, distances, side="left") / len(own)).astype(np.float32)
