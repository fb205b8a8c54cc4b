"""Whether new features differ from a reference by more than parts of the reference differ from each other. NumPy only.

Each measure of `barlowtf.metrics.drift` is taken in many draws, always of p features of the reference and q others: new
ones, or ones of the reference that are not among the p. The second kind gives the range that is usual where nothing has
changed, at the same sizes, so that the bias of small sets is in both. Where a few features lie far from all others, the
reference may lack them by chance, and its own parts differ less than they do from more of the same. So a value must
also be out of the ordinary where all features are shuffled: a permutation test.
"""

from typing import Literal, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from barlowtf.metrics.drift import (
    Products,
    Scale,
    frechet_distance,
    kernel_distance,
    kernel_p_value,
    kernels_of,
    overlap,
    scale_of,
)

# Draws of the half sets behind an interval lie in it with this share.
_CONFIDENCE = 0.95


Key = Literal["frechet", "kernel", "coverage", "familiar"]


class Kind(NamedTuple):
    """A measure.

    Attributes:
        key: Its key in the record.
        name: As a line names it.
        rises: Whether it is larger where features differ; otherwise it is smaller.
        least: Its least value; None: it has none.
        most: Its largest value; None: it has none.
    """

    key: Key
    name: str
    rises: bool
    least: float | None
    most: float | None


KINDS = (
    Kind("frechet", "Fréchet distance", True, 0.0, None),
    Kind("kernel", "kernel distance", True, None, None),
    Kind("coverage", "coverage", False, 0.0, 1.0),
    Kind("familiar", "familiar", False, 0.0, 1.0),
)
# One for each measure, and the permutation test of the kernel distance.
TESTS = len(KINDS) + 1


class Judged(NamedTuple):
    """A measure of new features, and what is usual.

    Attributes:
        kind: The measure.
        value: Mean over the draws.
        low: Lower end of its 95 % interval.
        high: Upper end.
        limit: The last value that is usual; beyond it (above, or below for one that falls) is drift.
        p_value: Share of the draws that are as far as `value`, counting it among them: those of the reference against
            itself or the shuffled ones, whichever is larger.
        beyond: Whether `value` is beyond the limit and beyond as large a share of the shuffled draws.
    """

    kind: Kind
    value: float
    low: float
    high: float
    limit: float
    p_value: float
    beyond: bool


class Comparison(NamedTuple):
    """New features against a reference.

    Attributes:
        measures: One for each of `KINDS`.
        permutation_p: P-value of the kernel distance of all given features, see `kernel_p_value`.
        drawn: Numbers of features of the reference and of others in a draw, p and q.
        scale: In whose units distances are.
    """

    measures: tuple[Judged, ...]
    permutation_p: float
    drawn: tuple[int, int]
    scale: Scale


def sizes_of_draws(reference: int, new: int, most: int) -> tuple[int, int]:
    """Returns p and q: parts of the reference that have nothing in common must be as large.

    Args:
        reference: Number of features of the reference, >= 2.
        new: Number of new features, >= 1.
        most: Maximum of p and of q, >= 1.
    """
    q = min(new, reference // 2, most)
    return min(reference - q, most), q


def least_resamples(level: float) -> int:
    """Returns the number of draws without which no measure could ever be beyond its limit at a level in (0, 1)."""
    return int(np.ceil(TESTS / level - 1e-9)) - 1


def compare(
    reference: np.ndarray,
    new: np.ndarray,
    *,
    most: int,
    resamples: int,
    level: float = 0.05,
    neighbors: int = 5,
    permutations: int = 999,
    seed: int = 0,
) -> Comparison:
    """Returns the measures of new features against a reference, and their usual ranges.

    A measure is beyond where at most a share of `level` / `TESTS` of the draws of the reference against itself is as
    far, and of the shuffled draws, too (Bonferroni), so that features without drift show any with a probability of
    about `level` at most.
    The interval is that of half sets, drawn without replacement from those of each draw: for a mean, they vary as much
    as whole sets do from sample to sample (Politis & Romano, Annals of Statistics 22, 1994).

    Args:
        reference: Finite, float [M, d], M >= 4.
        new: Finite, float [N, d], N >= 4.
        most: Maximum number of features of one kind in a draw, >= 1.
        resamples: Number of draws, at least `least_resamples(level)`.
        level: Probability of seeing drift where there is none, in (0, 1), over all tests together.
        neighbors: k of `overlap`, less than half of p.
        permutations: Number of permutations of the kernel's test, >= `least_resamples(level)`.
        seed: Of all draws.

    Raises:
        ValueError: All features of the reference are equal.
    """
    # Three streams: the usual ranges do not depend on the new features, as long as q is the same.
    random, random_new, random_both = (np.random.default_rng((seed, stream)) for stream in range(3))
    scale = scale_of(reference)
    sets = _Sets(scale.apply(reference), scale.apply(new), kernels_of(reference, new), neighbors)
    p, q = sizes_of_draws(len(reference), len(new), most)
    usual, shuffled, found, halves = [], [], [], []
    # Matrices of this size gain nothing by threads, which wait for each other where a machine has other work.
    with threadpool_limits(1, "blas"):
        whole = [
            random_both.permutation(len(reference))[:most],
            len(reference) + random_both.permutation(len(new))[:most],
        ]
        given = sets.measure(*whole)
        for _ in range(resamples):
            order, others = random.permutation(len(reference)), len(reference) + random_new.permutation(len(new))[:q]
            usual.append(sets.measure(order[:p], order[p : p + q]))
            rows = random_both.permutation(np.concatenate(whole))
            shuffled.append(sets.measure(rows[: len(whole[0])], rows[len(whole[0]) :]))
            found.append(sets.measure(order[:p], others))
            halves.append(sets.measure(order[: p // 2], others[: q // 2]))
    allowed = int(level / TESTS * (resamples + 1) + 1e-9) - 1
    draws = np.array([usual, shuffled, found, halves])  # [4, R, kinds]
    measures = tuple(
        _judged(kind, *draws[..., column], given=given[column], allowed=allowed) for column, kind in enumerate(KINDS)
    )
    p_value = kernel_p_value(sets.kernels, permutations=permutations, random=random_new)
    return Comparison(measures, p_value, (p, q), scale)


class _Sets:
    """Reference and new features in one, from which parts are measured."""

    def __init__(self, reference: np.ndarray, new: np.ndarray, kernels: Products, neighbors: int) -> None:
        self.kernels = kernels
        self._features = np.concatenate([reference, new])
        self._products = self._features @ self._features.T
        self._kernel = np.block([[kernels.first, kernels.across], [kernels.across.T, kernels.second]])
        self._neighbors = neighbors

    def measure(self, first: np.ndarray, second: np.ndarray) -> tuple[float, ...]:
        """Returns the measures of two sets of rows, in the order of `KINDS`."""
        near = overlap(_pick(self._products, first, second), neighbors=self._neighbors)
        distance = frechet_distance(self._features[first], self._features[second])
        return (distance, kernel_distance(_pick(self._kernel, first, second)), *near)


def _pick(products: np.ndarray, first: np.ndarray, second: np.ndarray) -> Products:
    """Returns the products within and across two sets of rows of a square matrix."""
    return Products(
        *(products[rows[:, None], columns] for rows, columns in ((first, first), (second, second), (first, second)))
    )


def _judged(
    kind: Kind,
    usual: np.ndarray,
    shuffled: np.ndarray,
    found: np.ndarray,
    halves: np.ndarray,
    *,
    given: float,
    allowed: int,
) -> Judged:
    """Returns a measure, of its draws [R] of four kinds; if beyond, at most `allowed` of the first two are as far."""
    sign = 1.0 if kind.rises else -1.0
    value = float(found.mean())
    tail = 100.0 * (1.0 - _CONFIDENCE) / 2.0
    low, high = value + np.percentile(halves, [tail, 100.0 - tail]) - halves.mean()
    limit = sign * float(np.sort(sign * usual)[::-1][allowed])
    as_far = int(np.sum(sign * usual >= sign * value))
    if kind.most is None:
        # A share counts a far feature as one; a distance has no end.
        as_far = max(as_far, int(np.sum(sign * shuffled >= sign * given)))
    p_value = (1 + as_far) / (len(usual) + 1)
    low, high = (float(np.clip(end, kind.least, kind.most)) for end in (low, high))
    return Judged(kind, value, low, high, limit, p_value, as_far <= allowed)
