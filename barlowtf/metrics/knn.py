"""Accuracy of a weighted nearest-neighbor vote on features: a quick reading of an encoder, without training."""

from typing import Any

import numpy as np
import tensorflow as tf

# Squares of shorter features lose digits in float32.
_SHORTEST = 1e-12


def knn_predict(
    bank: Any,
    bank_labels: Any,
    queries: Any,
    *,
    neighbors: int,
    temperature: float = 0.07,
    class_count: int,
    block: int = 4096,
) -> np.ndarray:
    """Classes of `queries` by the votes of their nearest features in `bank`.

    Each of the `neighbors` features of highest cosine similarity s votes for its class with weight
    exp(s / temperature); the class with the largest sum wins. Ties: of two equal similarities the one earlier in the
    bank is nearer; of two equal sums the smaller class number wins. A feature that is all 0 has similarity 0 to
    everything.

    Bank and queries are read in blocks and the best so far are kept, so the memory beyond the arguments is about
    4 * block * (block + 2 * d) bytes and 12 bytes for each query and neighbor, however large the bank.

    Args:
        bank: Labeled features, float [M, d]: NumPy array (memory-mapped too) or eager tensor.
        bank_labels: Classes of `bank`, integers [M] in [0, class_count).
        queries: Features to classify, float [Q, d].
        neighbors: How many vote, from 1 to M.
        temperature: > 0. Default: Wu et al.
        class_count: Number of classes, >= 1.
        block: Rows of bank and of queries at once, >= 1.

    Returns:
        int64 [Q], classes in [0, class_count).

    Raises:
        ValueError: Shapes do not fit, or an argument or label is out of its range.

    Source: Wu et al., arXiv:1805.01978, section 3.4.
    """
    labels = np.asarray(bank_labels)
    _check(bank, labels, queries, neighbors, temperature, class_count, block)
    similarity, index = nearest_neighbors(bank, queries, neighbors=neighbors, block=block)
    predicted = np.empty(len(index), np.int64)
    for start in range(0, len(index), block):
        rows = slice(start, start + block)
        votes = knn_votes(similarity[rows], labels[index[rows]], temperature=temperature, class_count=class_count)
        predicted[rows] = votes.argmax(axis=1)
    return predicted


def knn_votes(
    similarity: np.ndarray, labels: np.ndarray, *, temperature: float = 0.07, class_count: int, block: int = 4096
) -> np.ndarray:
    """Sum of the votes for each class, up to a factor a query.

    Args:
        similarity: Of each query's neighbors, falling, float [Q, k].
        labels: Their classes, integers [Q, k] in [0, class_count).
        temperature: > 0; a vote weighs exp(similarity / temperature).
        class_count: Number of classes, >= 1.
        block: Queries at once, >= 1; the memory beyond the result is that of a block.

    Returns:
        float64 [Q, class_count], >= 0; the largest entry of a row is the class that `knn_predict` gives.
    """
    votes = np.zeros((len(labels), class_count))
    for start in range(0, len(votes), block):
        rows = slice(start, start + block)
        some, near = votes[rows], similarity[rows]
        # Only ratios of weights matter: taking the best similarity away keeps exp within float64 at any temperature.
        weights = np.exp((near - near[:, :1]).astype(np.float64) / temperature)
        np.add.at(some, (np.arange(len(some))[:, None], labels[rows]), weights)
    return votes


def knn_accuracy(
    bank: Any,
    bank_labels: Any,
    queries: Any,
    query_labels: Any,
    *,
    neighbors: int,
    temperature: float = 0.07,
    class_count: int,
    block: int = 4096,
) -> float:
    """Share of `queries` whose class `knn_predict` finds.

    Args:
        bank: Labeled features, float [M, d].
        bank_labels: Classes of `bank`, integers [M] in [0, class_count).
        queries: Features to classify, float [Q, d], Q >= 1.
        query_labels: Their true classes, integers [Q].
        neighbors: How many vote, from 1 to M.
        temperature: > 0.
        class_count: Number of classes, >= 1.
        block: Rows at once, >= 1.

    Returns:
        Accuracy in [0, 1].

    Raises:
        ValueError: As `knn_predict`, or `query_labels` does not fit `queries`.
    """
    truth = np.asarray(query_labels)
    if truth.shape != (queries.shape[0],) or not len(truth):
        raise ValueError(f"Received {truth.shape} labels for {queries.shape[0]} queries. Expected [Q] with Q >= 1.")
    predicted = knn_predict(
        bank,
        bank_labels,
        queries,
        neighbors=neighbors,
        temperature=temperature,
        class_count=class_count,
        block=block,
    )
    return float(np.mean(predicted == truth))


def nearest_neighbors(bank: Any, queries: Any, *, neighbors: int, block: int = 4096) -> tuple[np.ndarray, np.ndarray]:
    """The features of highest cosine similarity; of two equal ones the earlier in the bank.

    Args:
        bank: Features, float [M, d]: NumPy array (memory-mapped too), eager tensor, or what has `shape` and slices.
        queries: Features, float [Q, d].
        neighbors: How many to find, from 1 to M.
        block: Rows of bank and of queries at once, >= 1; see `knn_predict` for the memory that it takes.

    Returns:
        Similarities, float32 [Q, neighbors], falling, and their rows in the bank, int64 alike.
    """
    count, width = queries.shape
    # Few queries: dividing similarities [q, M] by the features' lengths is cheaper than dividing the features [M, d].
    few = np.asarray(_unit_rows(queries)) if count < width else None
    # Similarities are at least -1: the places that are still empty lose against every feature.
    best = np.full((count, neighbors), -np.inf, np.float32)
    index = np.zeros((count, neighbors), np.int64)
    for bank_start in range(0, bank.shape[0], block):
        raw = bank[bank_start : bank_start + block]
        lengths = None if few is None else _safe_lengths(raw)
        some = _unit_rows(raw) if lengths is None else raw
        for start in range(0, count, block):
            rows = slice(start, start + block)
            if few is None or lengths is None:
                similarity = tf.matmul(_unit_rows(queries[rows]), some, transpose_b=True)  # [q, M of this block]
            else:
                similarity = few[rows] @ np.asarray(raw, np.float32).T / lengths
            value, column = tf.math.top_k(similarity, k=min(neighbors, some.shape[0]))
            best[rows], index[rows] = _merged(best[rows], index[rows], value.numpy(), column.numpy() + bank_start)
    return best, index


def _safe_lengths(features: Any) -> np.ndarray | None:
    """Lengths of features, float32 [M], 1 for those of zeros; None where squares leave float32's range."""
    features = np.asarray(features, np.float32)
    with np.errstate(over="ignore"):
        lengths = np.sqrt(np.einsum("ij,ij->i", features, features))
    short = np.flatnonzero(~(lengths > _SHORTEST))
    if not np.isfinite(lengths).all() or features[short].any():
        return None
    lengths[short] = 1.0
    return lengths


def _merged(best: np.ndarray, index: np.ndarray, value: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The k best of two lists [q, k] and [q, j]; of equals those of the first list, whose rows come earlier."""
    values, rows = np.concatenate([best, value], axis=1), np.concatenate([index, row], axis=1)
    order = np.argsort(-values, axis=1, kind="stable")[:, : best.shape[1]]
    return np.take_along_axis(values, order, axis=1), np.take_along_axis(rows, order, axis=1)


def _unit_rows(features: Any) -> tf.Tensor:
    """`features` as float32 with rows of length 1; a row of zeros stays zeros."""
    features = tf.cast(tf.convert_to_tensor(features), tf.float32)
    # Divided by the largest entry first: the squares of very large or small features leave float32's range.
    largest = tf.reduce_max(tf.abs(features), axis=1, keepdims=True)
    scaled = tf.math.divide_no_nan(features, largest)
    return tf.math.divide_no_nan(scaled, tf.norm(scaled, axis=1, keepdims=True))


def _check(
    bank: Any, labels: np.ndarray, queries: Any, neighbors: int, temperature: float, class_count: int, block: int
) -> None:
    """Raises ValueError for arguments of `knn_predict` that do not fit."""
    if len(bank.shape) != 2 or len(queries.shape) != 2 or bank.shape[1] != queries.shape[1]:
        raise ValueError(f"Received bank {bank.shape} and queries {queries.shape}. Expected [M, d] and [Q, d].")
    if labels.shape != (bank.shape[0],) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"Received {labels.dtype} labels {labels.shape}. Expected integers [{bank.shape[0]}].")
    if not 1 <= neighbors <= bank.shape[0]:
        raise ValueError(f"Received neighbors = {neighbors}. Expected 1 to {bank.shape[0]}, the size of the bank.")
    if not temperature > 0:
        raise ValueError(f"Received temperature = {temperature}. Expected a number > 0.")
    if labels.min() < 0 or labels.max() >= class_count:
        raise ValueError(f"Received labels {labels.min()} to {labels.max()}. Expected [0, {class_count}).")
    if block < 1:
        raise ValueError(f"Received block = {block}. Expected at least 1.")
