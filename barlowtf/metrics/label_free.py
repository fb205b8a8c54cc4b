"""How much an encoder's features tell things apart, measured without labels. NumPy, float64.

RankMe is `effective_rank`. Letters: n images, q views of each, N = n q rows, d dimensions.
"""

from typing import Any

import numpy as np


def lidar(features: Any, views: int, *, delta: float = 1e-4, epsilon: float = 1e-8) -> float:
    """LiDAR: number of directions in which images differ by more than the views of one image do.

    S_b = sum_i (m_i - m)(m_i - m)^T / (n - 1) for the means m_i of each image's views and their mean m,
    S_w = sum_i,v (x_iv - m_i)(x_iv - m_i)^T / (n (q - 1)) + delta I; the eigenvalues of S_w^(-1/2) S_b S_w^(-1/2)
    plus `epsilon`, divided by their sum, are p; the result is exp(-sum_k p_k log p_k).

    Args:
        features: Float [n q, d], finite; the q views of an image in consecutive rows.
        views: q, >= 2.
        delta: Added to the diagonal of S_w, > 0. Default: the paper's.
        epsilon: Added to each eigenvalue, > 0. Default: that of stable-pretraining.

    Returns:
        From 1 to min(n - 1, d), but for `epsilon`.

    Raises:
        ValueError: The shape does not fit, there are fewer than 2 images or 2 views, or `features` is not finite.

    Source: Thilak et al., arXiv:2312.04000, section 4.
    """
    x = _finite_matrix(features)
    if views < 2 or len(x) % max(views, 1) or len(x) < 2 * views:
        raise ValueError(
            f"Invalid features: received {len(x)} rows with {views} views, expected q >= 2 views of 2 or more images."
        )
    directions = x.shape[1]
    if directions > len(x):
        # The rows span at most N directions. Their coordinates there have the same scatter, at the cost of N^3.
        x = np.asarray(np.linalg.qr(x.T, mode="r")).T  # [N, d] -> [N, N]
    x = x.reshape(-1, views, x.shape[1])  # [n q, d] -> [n, q, d]
    images, _, width = x.shape
    means = x.mean(axis=1)
    within = (x - means[:, None]).reshape(-1, width)
    between = (means - means.mean(axis=0)) / np.sqrt(images - 1)
    scatter = within.T @ within / (images * (views - 1)) + delta * np.eye(width)
    # With S_w = L L^T the eigenvalues are those of Y^T Y, Y = L^-1 B [d, n], and 0 in the d - n other directions.
    whitened = np.linalg.solve(np.linalg.cholesky(scatter), between.T)
    small = whitened @ whitened.T if width < images else whitened.T @ whitened
    eigenvalues = np.zeros(directions)
    found = np.maximum(np.linalg.eigvalsh(small), 0.0)
    eigenvalues[: len(found)] = found
    p = (eigenvalues + epsilon) / np.sum(eigenvalues + epsilon)
    return float(np.exp(-np.sum(p * np.log(p))))


def alpha_req(features: Any, *, ranks: tuple[int, int] = (4, 40)) -> float:
    """alpha-ReQ: exponent of the power law rank^-alpha that the variances of the principal components follow.

    A line is fitted to the logarithm of each share of the variance over the logarithm of its rank, by least squares
    with weights 1 / rank.

    Args:
        features: Float [N, d], finite.
        ranks: First and last rank of the fit, from 1 for the largest variance. Default: those of the recorded numbers.

    Returns:
        alpha; near 1 for good features by the paper. Far below, variance is spread over noise; far above, it lies in
        few directions. NaN where fewer than two ranks of the range have variance.

    Raises:
        ValueError: `features` is not [N >= 2, d] or not finite, or `ranks` is not a range.

    Source: Agrawal et al., NeurIPS 2022, section 3; weights as kumarkrishna/fastssl, utils/powerlaw.py.
    """
    x = _finite_matrix(features)
    first, last = ranks
    if len(x) < 2 or not 1 <= first < last:
        raise ValueError(
            f"Invalid ranks: received {ranks} for {len(x)} rows, expected 1 <= first < last and 2 or more rows."
        )
    x = x - x.mean(axis=0)
    gram = x @ x.T if x.shape[0] < x.shape[1] else x.T @ x
    variances = np.maximum(np.linalg.eigvalsh(gram)[::-1], 0.0)
    # Beyond the rank of `x` there is rounding alone, as far as 1e-12 of the largest.
    kept = variances[first - 1 : last]
    kept = kept[kept > 1e-12 * variances[0]]
    if len(kept) < 2:
        return float("nan")
    rank = np.arange(first, first + len(kept))
    # polyfit squares its weights. A factor on all shares moves the line and leaves its slope.
    slope, _ = np.polyfit(np.log(rank), np.log(kept), 1, w=np.sqrt(1.0 / rank))
    return float(-slope)


def _finite_matrix(features: Any) -> np.ndarray:
    x = np.asarray(features)
    if x.ndim != 2 or not x.size:
        raise ValueError(f"Invalid features: received shape {x.shape}, expected [N, d] with at least one entry.")
    x = x.astype(np.float64)
    if not np.isfinite(x).all():
        raise ValueError("Invalid features: received NaN or infinity, expected finite numbers.")
    return x
