"""How far apart the features of two sets of images are. NumPy only.

Letters: n features of the first set, the reference, and m of the second, the new images; d their width; k the neighbor
whose distance is the radius of a ball.
"""

from typing import NamedTuple

import numpy as np

# Features beyond this many times their spread keep no more digits in float32, whose squares would overflow later.
_FARTHEST = 1e15
# Squared distances below this share of the squared lengths are rounding, and 0.
_ROUNDING = 1e-12
# Divisions of a permutation test.
_AT_ONCE = 1000


class Scale(NamedTuple):
    """Where features lie and how far they are spread.

    Attributes:
        center: Their mean, float64 [d].
        spread: Root mean square of their distances from it, > 0.
    """

    center: np.ndarray
    spread: float

    def apply(self, features: np.ndarray) -> np.ndarray:
        """Returns features in units of the spread around the center, float64 [n, d].

        Args:
            features: Finite, float [n, d].
        """
        scaled = (np.asarray(features, np.float64) - self.center) / self.spread
        return np.clip(scaled, -_FARTHEST, _FARTHEST)


def scale_of(reference: np.ndarray) -> Scale:
    """Returns the scale of a reference set, in which distances of any encoder can be compared.

    Lengths are kept, not divided away, because encoders give longer or shorter features to images unlike those that
    they were trained on.

    Args:
        reference: Finite, float [n, d], n >= 2.

    Raises:
        ValueError: All features are equal.
    """
    values = np.asarray(reference, np.float64)
    center = values.mean(axis=0)
    spread = float(np.sqrt(np.mean(np.sum(np.square(values - center), axis=1))))
    # The mean of equal features is right to their last digit.
    if spread <= 1e-12 * float(np.linalg.norm(center)):
        raise ValueError(f"Invalid features: received {len(values)} equal ones, expected some that differ.")
    return Scale(center, spread)


class Products(NamedTuple):
    """Inner products of two sets of features, float64.

    Attributes:
        first: Within the first set, [n, n].
        second: Within the second set, [m, m].
        across: Of the first with the second, [n, m].
    """

    first: np.ndarray
    second: np.ndarray
    across: np.ndarray


def products_of(first: np.ndarray, second: np.ndarray) -> Products:
    """Returns the inner products of two sets of features, float [n, d] and [m, d]."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    return Products(a @ a.T, b @ b.T, a @ b.T)


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Returns the squared Fréchet distance of two normal distributions with the means and covariances of two sets.

    |mean_1 - mean_2|^2 + trace(S_1 + S_2 - 2 (S_1 S_2)^(1/2)). No root of a matrix is taken: with S_1 = A^T A and
    S_2 = B^T B, the trace of the root is the sum of the singular values of A B^T, whatever the ranks. A triangular
    factor takes the place of A where n > d.

    It is biased: small sets look further apart than large ones of the same distributions (Chong & Forsyth,
    arXiv:1911.07023). Compare only distances of sets of the same sizes.

    Args:
        first: Finite, float [n, d], n >= 2.
        second: Finite, float [m, d], m >= 2.

    Returns:
        Squared distance, >= 0, in the square of the features' unit.

    Source: Dowson & Landau, J. Multivariate Analysis 12 (1982), p. 450; Heusel et al., arXiv:1706.08500 (FID).
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    apart = float(np.sum(np.square(a.mean(axis=0) - b.mean(axis=0))))
    a, b = _factor(a), _factor(b)
    common = float(np.linalg.svd(a @ b.T, compute_uv=False).sum())
    return max(0.0, apart + float(np.sum(np.square(a)) + np.sum(np.square(b))) - 2.0 * common)


def _factor(features: np.ndarray) -> np.ndarray:
    """Returns A [n or d, d] with A^T A = the covariance of features [n, d]."""
    centered = (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)
    return np.asarray(np.linalg.qr(centered, mode="r")) if len(centered) > centered.shape[1] else centered


def kernels_of(first: np.ndarray, second: np.ndarray) -> Products:
    """Returns the kernel (x y + 1)^3 of two sets of features, x and y divided by their lengths.

    Between 0 and 8, so that no single image decides. Where features keep their lengths, the third power makes a few
    images far from all others outweigh the rest.

    Args:
        first: Finite, float [n, d]; a feature of zeros stays one.
        second: Finite, float [m, d].
    """
    products = products_of(_unit_rows(first), _unit_rows(second))
    return Products(*((part + 1.0) ** 3 for part in products))


def _unit_rows(features: np.ndarray) -> np.ndarray:
    values = np.asarray(features, np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(lengths > 0, lengths, 1.0)


def kernel_distance(kernels: Products) -> float:
    """Returns the squared maximum mean discrepancy of two sets, unbiased.

    Args:
        kernels: Of n >= 2 and m >= 2 features, see `kernels_of`.

    Returns:
        Squared discrepancy; 0 in the mean over sets of one distribution, so that some values are below 0.

    Source: Bińkowski et al., arXiv:1801.01401, section 4 (kernel inception distance); Gretton et al., JMLR 13 (2012),
        eq. 3. Differs in that features have length 1, see `kernels_of`.
    """
    n, m = kernels.across.shape
    first = float(kernels.first.sum() - np.trace(kernels.first)) / (n * (n - 1))
    second = float(kernels.second.sum() - np.trace(kernels.second)) / (m * (m - 1))
    return first + second - 2.0 * float(kernels.across.mean())


def kernel_p_value(kernels: Products, *, permutations: int, random: np.random.Generator) -> float:
    """Returns the share of random divisions of both sets together that are as far apart in `kernel_distance`.

    Args:
        kernels: See `kernel_distance`.
        permutations: Number of random divisions into n and m features, >= 1; the given one is counted, too.
        random: Draws them.

    Returns:
        In [1 / (permutations + 1), 1]. Where both sets come from one distribution it is at most p with a probability
        of at most p, for each p.

    Source: Gretton et al., JMLR 13 (2012), section 5; with one added to both counts: Phipson & Smyth,
        arXiv:1603.05766, section 4.
    """
    n, m = kernels.across.shape
    kernel = np.block([[kernels.first, kernels.across], [kernels.across.T, kernels.second]])
    np.fill_diagonal(kernel, 0.0)
    (given,) = _divided(kernel, [np.arange(n)])
    as_far, left = 1, permutations
    while left:
        # Not all at once, which takes 8 (n + m) bytes each.
        count = min(left, _AT_ONCE)
        distances = _divided(kernel, [random.permutation(n + m)[:n] for _ in range(count)])
        # Equal up to rounding counts as equal; the kernel is at most 8.
        as_far, left = as_far + int(np.sum(distances >= given - _ROUNDING)), left - count
    return as_far / (permutations + 1)


def _divided(kernel: np.ndarray, divisions: list[np.ndarray]) -> np.ndarray:
    """Returns the kernel distance of each division of the rows into those given and the rest, [divisions]."""
    n = len(divisions[0])
    m = len(kernel) - n
    chosen = np.zeros((n + m, len(divisions)))
    for column, part in enumerate(divisions):
        chosen[part, column] = 1.0
    # Sums of the kernel within the chosen, over their rows, and over all; by column.
    within, rows, whole = np.sum(chosen * (kernel @ chosen), axis=0), kernel.sum(axis=1) @ chosen, kernel.sum()
    rest, across = whole - 2.0 * rows + within, rows - within
    return within / (n * (n - 1)) + rest / (m * (m - 1)) - 2.0 * across / (n * m)


class Overlap(NamedTuple):
    """How two sets lie over one another.

    Attributes:
        coverage: Share of the first set whose ball holds a feature of the second, in [0, 1].
        familiar: Share of the second set that lies in the ball of a feature of the first, in [0, 1].
    """

    coverage: float
    familiar: float


def overlap(products: Products, *, neighbors: int = 5) -> Overlap:
    """Returns two shares of features that lie in balls around the features of the first set.

    The ball of a feature reaches to its k-th nearest other feature of the first set.

    Args:
        products: Of n > k and m >= 1 features.
        neighbors: k, from 1 to n - 1. Default: Naeem et al.

    Raises:
        ValueError: `neighbors` is not from 1 to n - 1.

    Source: coverage: Naeem et al., arXiv:2002.09797, section 3; familiar: "precision" of Kynkäänniemi et al.,
        arXiv:1904.06991, eq. 1 and 2.
    """
    size = len(products.first)
    if not 1 <= neighbors < size:
        raise ValueError(f"Invalid neighbors: received {neighbors}, expected 1 to {size - 1}, the other features.")
    lengths, others = np.diagonal(products.first), np.diagonal(products.second)
    own = _squared_distances(products.first, lengths, lengths)
    np.fill_diagonal(own, np.inf)
    radii = np.partition(own, neighbors - 1, axis=1)[:, neighbors - 1]
    inside = _squared_distances(products.across, lengths, others) <= radii[:, None]  # [n, m]
    return Overlap(float(inside.any(axis=1).mean()), float(inside.any(axis=0).mean()))


def _squared_distances(products: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Returns squared distances [n, m] from inner products [n, m] and squared lengths [n] and [m]."""
    lengths = rows[:, None] + columns
    squares = lengths - 2.0 * products
    squares[squares < _ROUNDING * lengths] = 0.0
    return squares
