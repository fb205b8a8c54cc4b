"""Signs of collapse, measured on embeddings without labels.

Letters: N examples, D dimensions, z_a and z_b the embeddings of two views, C their cross-correlation [D, D]. All
functions take float NumPy arrays or eager tensors of any precision and compute on the host; none is differentiable.
"""

from collections.abc import Iterator
from typing import Any, cast

import numpy as np

# Rows of C in memory at once: 1024 x 8192 float32 is 32 MiB.
ROWS = 1024
# Embeddings of a smaller effective rank, or with a larger share of dead dimensions, have collapsed.
COLLAPSED_RANK, MOSTLY_DEAD = 3.0, 0.5


def effective_rank(z: Any, epsilon: float = 1e-7) -> float:
    """RankMe: exponential of the entropy of the singular values of `z`.

    p_k = s_k / sum(s) + epsilon for the min(N, D) singular values s of `z` as it is, not centered;
    rank = exp(-sum_k p_k log p_k). Costs min(N, D)^3: a few thousand examples are enough.

    Args:
        z: Embeddings, float [N, D], finite.
        epsilon: Added to each p_k, > 0. Default: the paper's, for float32.

    Returns:
        A number from 1 (all embeddings on one line) to min(N, D), but for `epsilon`; 0 when all of `z` is 0.

    Raises:
        ValueError: `z` is not [N, D] with at least one entry, or not finite.

    Source: Garrido et al., arXiv:2210.02885, eq. 1 and 2.
    """
    z = _matrix(z).astype(np.float64)
    if not np.all(np.isfinite(z)):
        raise ValueError("Received embeddings that are not finite. Expected finite numbers.")
    # Through the smaller Gram matrix; in float64 its eigenvalues give singular values down to 1e-8 of the largest.
    gram = z @ z.T if z.shape[0] < z.shape[1] else z.T @ z
    singular = np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0.0))
    if singular.sum() == 0.0:
        return 0.0
    p = singular / singular.sum() + epsilon
    return float(np.exp(-np.sum(p * np.log(p))))


def dead_dimensions(z: Any, threshold: float = 1e-3) -> int:
    """How many dimensions of `z` have a standard deviation below `threshold`.

    Args:
        z: Embeddings, float [N, D].
        threshold: In the units of `z`, > 0.

    Returns:
        A count from 0 to D.

    Raises:
        ValueError: `z` is not [N, D] with at least one entry.
    """
    return int(np.sum(_matrix(z).astype(np.float32).std(axis=0, dtype=np.float64) < threshold))


def has_collapsed(rank: float, dead: float, *, width: int, images: int) -> bool:
    """Returns whether embeddings have collapsed: to few directions, or half of their dimensions to constants.

    Args:
        rank: `effective_rank`.
        dead: `dead_dimensions`.
        width: D.
        images: Number of images that both were measured on.
    """
    # Of few images or dimensions no rank is high.
    return dead >= MOSTLY_DEAD * width or (rank < COLLAPSED_RANK and min(width, images) >= 10 * COLLAPSED_RANK)


def cross_correlation(z_a: Any, z_b: Any, epsilon: float = 1e-5) -> np.ndarray:
    """C = A^T B / N of the standardized views A and B, as in the loss.

    Args:
        z_a: Embeddings of view a, float [N, D].
        z_b: Embeddings of view b, like `z_a`.
        epsilon: Added to the variances, > 0.

    Returns:
        float32 [D, D], entries in [-1, 1] but for rounding. 256 MiB at D = 8192; the other functions never hold it
        whole.

    Raises:
        ValueError: The views are not of one shape [N, D] with N >= 2.
    """
    return np.concatenate(list(_correlation_rows(z_a, z_b, epsilon)))


def mean_diagonal(z_a: Any, z_b: Any, epsilon: float = 1e-5) -> float:
    """Mean of C_ii: 1 when both views agree in every dimension. Arguments and errors as `cross_correlation`."""
    a, b = _standardized_pair(z_a, z_b, epsilon)
    return float(np.mean(np.einsum("nd,nd->d", a, b) / len(a)))


def mean_off_diagonal(z_a: Any, z_b: Any, epsilon: float = 1e-5) -> float:
    """Mean of |C_ij| over i != j: near 0 when no dimension repeats another; 0 when D = 1.

    By chance alone it is about 0.8 / sqrt(N). Arguments and errors as `cross_correlation`.
    """
    total, diagonal, start = 0.0, 0.0, 0
    for rows in _correlation_rows(z_a, z_b, epsilon):
        sizes = np.abs(rows)
        total += float(np.sum(sizes, dtype=np.float64))
        diagonal += float(np.sum(np.diagonal(sizes, offset=start), dtype=np.float64))
        start += len(rows)
    return (total - diagonal) / max(start * (start - 1), 1)


def correlation_picture(z_a: Any, z_b: Any, cells: int = 256, epsilon: float = 1e-5) -> np.ndarray:
    """`downsample_correlation` of C, without ever holding C whole.

    Args:
        z_a: Embeddings of view a, float [N, D].
        z_b: Embeddings of view b, like `z_a`.
        cells: Height and width of the picture at most, >= 1.
        epsilon: Added to the variances, > 0.

    Returns:
        uint8 [min(D, cells), min(D, cells)].

    Raises:
        ValueError: As `cross_correlation`, or `cells` < 1.
    """
    sums, start = None, 0
    for rows in _correlation_rows(z_a, z_b, epsilon):
        if sums is None:
            cell = _cell_of(rows.shape[1], cells)
            sums = np.zeros((cell[-1] + 1, cell[-1] + 1))
        _add_to_cells(sums, rows, cell[start : start + len(rows)], cell)
        start += len(rows)
    return _picture(cast(np.ndarray, sums), cell)


def downsample_correlation(c: Any, cells: int) -> np.ndarray:
    """A small picture of a cross-correlation: the mean of |C| in each cell, 0 black to 1 white.

    Args:
        c: Cross-correlation, float [D, D].
        cells: Height and width of the picture at most, >= 1.

    Returns:
        uint8 [min(D, cells), min(D, cells)]. Cells differ by at most one row and column in size.

    Raises:
        ValueError: `c` is not square, or `cells` < 1.
    """
    c = _matrix(c)
    if c.shape[0] != c.shape[1]:
        raise ValueError(f"Received a matrix of shape {c.shape}. Expected [D, D].")
    cell = _cell_of(len(c), cells)
    sums = np.zeros((cell[-1] + 1, cell[-1] + 1))
    for start in range(0, len(c), ROWS):
        _add_to_cells(sums, c[start : start + ROWS], cell[start : start + ROWS], cell)
    return _picture(sums, cell)


def _cell_of(dimensions: int, cells: int) -> np.ndarray:
    """The cell, int [D], that each dimension falls into."""
    if cells < 1:
        raise ValueError(f"Received cells = {cells}. Expected at least 1.")
    return np.arange(dimensions) * min(cells, dimensions) // dimensions


def _add_to_cells(sums: np.ndarray, rows: np.ndarray, row_cell: np.ndarray, column_cell: np.ndarray) -> None:
    """Adds |rows| [r, D] to `sums` [cells, cells]."""
    first_columns = np.flatnonzero(np.diff(column_cell, prepend=-1))
    by_column = np.add.reduceat(np.abs(rows), first_columns, axis=1, dtype=np.float64)  # [r, D] -> [r, cells]
    np.add.at(sums, row_cell, by_column)


def _picture(sums: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """uint8 picture of the means, from the sums over cells."""
    size = np.bincount(cell)
    return np.clip(np.rint(255.0 * sums / np.outer(size, size)), 0, 255).astype(np.uint8)


def _correlation_rows(z_a: Any, z_b: Any, epsilon: float) -> Iterator[np.ndarray]:
    """C from top to bottom, float32 [at most ROWS, D] at a time."""
    a, b = _standardized_pair(z_a, z_b, epsilon)
    for start in range(0, a.shape[1], ROWS):
        yield a[:, start : start + ROWS].T @ b / np.float32(len(a))


def _standardized_pair(z_a: Any, z_b: Any, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """Both views, float32 [N, D], each dimension with mean 0 and biased variance 1."""
    z_a, z_b = _matrix(z_a).astype(np.float32), _matrix(z_b).astype(np.float32)
    if z_a.shape != z_b.shape or len(z_a) < 2:
        raise ValueError(
            f"Received views of shapes {z_a.shape} and {z_b.shape}. Expected one shape [N, D] with N >= 2."
        )
    return _standardized(z_a, epsilon), _standardized(z_b, epsilon)


def _standardized(z: np.ndarray, epsilon: float) -> np.ndarray:
    centered = z - z.mean(axis=0, dtype=np.float64).astype(np.float32)
    return centered / np.sqrt(np.mean(np.square(centered), axis=0, dtype=np.float64) + epsilon).astype(np.float32)


def _matrix(z: Any) -> np.ndarray:
    """`z` as a NumPy array of two axes with at least one entry."""
    z = np.asarray(z)
    if z.ndim != 2 or z.size == 0:
        raise ValueError(f"Received embeddings of shape {z.shape}. Expected [N, D], not empty.")
    return z
