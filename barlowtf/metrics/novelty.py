"""How unlike a bank of features a feature is: its distance to the k-th nearest, ranked among the bank's own distances.

Letters: M features in the bank, d their width, Q queries, k the neighbor that counts, n features of the bank that give
the scale.
"""

from typing import Any

import numpy as np
import tensorflow as tf


def kth_distances(bank: Any, queries: Any, *, neighbors: int, block: int = 4096) -> np.ndarray:
    """Returns the Euclidean distance of each query to its k-th nearest feature of a bank.

    Args:
        bank: Features, float [M, d]: NumPy array (memory-mapped too), eager tensor, or what has `shape` and slices.
        queries: Features, float [Q, d].
        neighbors: k, from 1 to M.
        block: Rows of bank and of queries at once, >= 1.

    Returns:
        float32 [Q], >= 0. Squares are summed in float32: a distance below a thousandth of the features' length is not
        told from 0.

    Raises:
        ValueError: `neighbors` is not from 1 to M.
    """
    size, count = bank.shape[0], queries.shape[0]
    if not 1 <= neighbors <= size:
        raise ValueError(f"Invalid neighbors: received {neighbors}, expected 1 to {size}, the size of the bank.")
    best = np.full((count, neighbors), np.inf, np.float32)
    for bank_start in range(0, size, block):
        some = tf.cast(tf.convert_to_tensor(bank[bank_start : bank_start + block]), tf.float32)
        lengths = tf.reduce_sum(tf.square(some), axis=1)  # [M of this block]
        for start in range(0, count, block):
            rows = slice(start, start + block)
            asked = tf.cast(tf.convert_to_tensor(queries[rows]), tf.float32)
            squares = tf.reduce_sum(tf.square(asked), axis=1, keepdims=True) + lengths
            squares -= 2.0 * tf.matmul(asked, some, transpose_b=True)  # [q, M of this block]
            nearest = -tf.math.top_k(-squares, k=min(neighbors, some.shape[0])).values.numpy()
            both = np.concatenate([best[rows], nearest], axis=1)
            best[rows] = np.partition(both, neighbors - 1, axis=1)[:, :neighbors]
    return np.sqrt(np.maximum(best.max(axis=1), 0.0))


def own_distances(bank: Any, rows: np.ndarray, *, neighbors: int) -> np.ndarray:
    """Returns the distances of features of a bank to their k-th nearest other feature in it, rising.

    Args:
        bank: Features, float [M, d], M >= 2; see `kth_distances`.
        rows: Which of them give the scale, integer [n], n >= 1.
        neighbors: k, from 1 to M - 1.

    Returns:
        float32 [n], Euclidean.

    Raises:
        ValueError: `neighbors` is not from 1 to M - 1.
    """
    size = bank.shape[0]
    if not 1 <= neighbors < size:
        raise ValueError(f"Invalid neighbors: received {neighbors}, expected 1 to {size - 1}, the other features.")
    # Slices alone are what every bank has.
    queries = np.concatenate([np.asarray(bank[row : row + 1]) for row in rows.tolist()])
    # Each feature is the nearest to itself.
    return np.sort(kth_distances(bank, queries, neighbors=neighbors + 1))


def novelty(distances: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Returns the share of a bank's own distances that is smaller than each distance.

    Args:
        distances: Distance of each query to its k-th nearest feature in the bank, float [Q]; see `kth_distances`.
        own: See `own_distances`, for the same k.

    Returns:
        float32 [Q] in [0, 1]. At most 1 % of the features that gave the scale have more than 0.99.

    Source: Sun et al., arXiv:2204.06507, section 3. Differs in that features keep their lengths, because encoders give
        longer features to images unlike those that they were trained on, and in that the scale is that of the bank
        itself, because no images are kept apart.
    """
    return (np.searchsorted(own, distances, side="left") / len(own)).astype(np.float32)
