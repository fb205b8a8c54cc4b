"""Distances of sets of features against loops and roots of matrices, and what must not change them."""

import tracemalloc

import numpy as np
import pytest
from scipy.linalg import sqrtm

from barlowtf.metrics import (
    frechet_distance,
    kernel_distance,
    kernel_p_value,
    kernels_of,
    overlap,
    products_of,
    scale_of,
)


def sets(n, m, d, seed=0):
    """Two sets of features of different means and covariances."""
    r = np.random.default_rng(seed)
    first = r.standard_normal((n, d)) @ r.standard_normal((d, d)) + 2.0
    second = r.standard_normal((m, d)) @ r.standard_normal((d, d)) * 0.7 + 1.5
    return first, second


def kernel_by_hand(x, y):
    return (sum(a * b for a, b in zip(x, y, strict=True)) / np.linalg.norm(x) / np.linalg.norm(y) + 1) ** 3


def discrepancy_by_hand(first, second):
    within = [
        np.mean([kernel_by_hand(x, y) for i, x in enumerate(some) for j, y in enumerate(some) if i != j])
        for some in (first, second)
    ]
    return sum(within) - 2 * np.mean([kernel_by_hand(x, y) for x in first for y in second])


def overlap_by_hand(first, second, k):
    radii = [sorted(np.linalg.norm(x - y) for j, y in enumerate(first) if j != i)[k - 1] for i, x in enumerate(first)]
    hit = [[np.linalg.norm(x - y) <= radius for y in second] for x, radius in zip(first, radii, strict=True)]
    return np.mean([any(row) for row in hit]), np.mean([any(column) for column in zip(*hit, strict=True)])


# More features than their width, fewer, and one of each.
@pytest.mark.parametrize(("n", "m", "d"), [(60, 40, 5), (30, 50, 12), (40, 8, 12)])
def test_frechet_distance_is_that_of_the_root_of_the_product(n, m, d):
    first, second = sets(n, m, d)
    one, two = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    # The root of a product of covariances that are not of full rank is not unique; its trace is the limit of others.
    eye = 1e-9 * np.eye(d)
    root = sqrtm((one + eye) @ (two + eye)).real
    expected = np.sum((first.mean(0) - second.mean(0)) ** 2) + np.trace(one + two - 2 * root)
    # 1e-9 on the diagonal moves a root by 3e-5 for each direction that is missing.
    np.testing.assert_allclose(frechet_distance(first, second), expected, atol=1e-3)
    np.testing.assert_allclose(frechet_distance(second, first), frechet_distance(first, second), rtol=1e-9)


def test_frechet_distance_of_what_is_known():
    first, _ = sets(40, 2, 6)
    # Rounding of sums of size 100.
    assert frechet_distance(first, first) < 1e-11
    shift = np.array([1.0, -2.0, 0.0, 0.5, 0.0, 3.0])
    np.testing.assert_allclose(frechet_distance(first, first + shift), shift @ shift, rtol=1e-9)
    # Twice as wide: the root of the covariance differs by itself.
    spread = np.trace(np.cov(first, rowvar=False))
    mean = first.mean(0)
    np.testing.assert_allclose(frechet_distance(first, mean + 2 * (first - mean)), spread, rtol=1e-9)
    # A constant column and fewer images than columns.
    flat = np.concatenate([first[:4], np.ones((4, 3))], axis=1)
    assert frechet_distance(flat, flat) < 1e-11


def test_kernel_distance_is_the_double_loop():
    first, second = sets(13, 9, 4)
    kernels = kernels_of(first, second)
    np.testing.assert_allclose(kernel_distance(kernels), discrepancy_by_hand(first, second), rtol=1e-9)
    # Lengths do not count, and zeros have no direction.
    longer = kernels_of(5 * first, 0.1 * second)
    np.testing.assert_allclose(kernel_distance(longer), kernel_distance(kernels), rtol=1e-9)
    assert (kernels_of(np.zeros((2, 4)), second).across == 1.0).all()


def test_kernel_p_value_counts_divisions():
    first, second = sets(7, 5, 3, seed=2)
    both, kernels = np.concatenate([first, second]), kernels_of(first, second)
    r = np.random.default_rng(5)
    found = kernel_p_value(kernels, permutations=60, random=np.random.default_rng(5))
    farther = 1
    for _ in range(60):
        chosen = r.permutation(12)[:7]
        rest = np.setdiff1d(np.arange(12), chosen)
        farther += discrepancy_by_hand(both[chosen], both[rest]) >= kernel_distance(kernels) - 1e-12
    assert found == farther / 61
    # Equal images: each division is as far apart as the given one.
    same = np.ones((4, 3))
    assert kernel_p_value(kernels_of(same, same), permutations=9, random=r) == 1.0
    assert kernel_p_value(kernels_of(first, -first), permutations=99, random=r) == 0.01


@pytest.mark.parametrize("k", [1, 3, 5])
def test_overlap_is_counted_by_loops(k):
    first, second = sets(30, 20, 3, seed=k)
    found = overlap(products_of(first, second), neighbors=k)
    np.testing.assert_allclose(found, overlap_by_hand(first, second, k), atol=1e-12)
    assert 0 < found.coverage < 1 and 0 < found.familiar < 1
    with pytest.raises(ValueError, match="received 30, expected 1 to 29"):
        overlap(products_of(first, second), neighbors=30)


def test_overlap_of_what_is_known():
    first, _ = sets(20, 2, 3)
    assert overlap(products_of(first, first)) == (1.0, 1.0)
    assert overlap(products_of(first, first + 1000.0)) == (0.0, 0.0)
    # Pairs of equal features have balls of radius 0, which rounding does not empty.
    pairs = np.repeat(np.random.default_rng(0).standard_normal((20, 129)) + 5, 2, axis=0)
    assert overlap(products_of(pairs, pairs[::2]), neighbors=1) == (1.0, 1.0)
    # A crowd around one image of the reference is familiar, and covers little.
    crowd = overlap(products_of(first, np.tile(first[:1], (50, 1))))
    assert crowd.familiar == 1.0 and crowd.coverage < 0.6


def test_order_of_rows_does_not_matter():
    first, second = sets(30, 25, 4)
    r = np.random.default_rng(1)
    one, two = r.permutation(first), r.permutation(second)
    np.testing.assert_allclose(frechet_distance(one, two), frechet_distance(first, second), rtol=1e-9)
    np.testing.assert_allclose(
        kernel_distance(kernels_of(one, two)), kernel_distance(kernels_of(first, second)), rtol=1e-9
    )
    assert overlap(products_of(one, two)) == overlap(products_of(first, second))


def test_scale_has_the_spread_as_its_unit():
    first, _ = sets(50, 2, 4)
    scaled = scale_of(first).apply(first)
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(np.mean(np.sum(scaled**2, axis=1)), 1, rtol=1e-12)
    assert np.isfinite(scale_of(first).apply(np.full((1, 4), 3e38)).astype(np.float32) ** 2).all()
    with pytest.raises(ValueError, match="received 3 equal ones"):
        scale_of(np.full((3, 4), np.float32(0.1)))


def test_many_permutations_take_no_more_memory():
    r = np.random.default_rng(0)
    kernels = kernels_of(r.standard_normal((50, 4)), r.standard_normal((50, 4)))
    tracemalloc.start()
    p_value = kernel_p_value(kernels, permutations=10_000, random=r)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 1 / 10_001 <= p_value <= 1
    assert peak < 5e6  # at once they are 3 arrays of 8 MB
