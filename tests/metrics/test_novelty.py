"""Distances inside a bank by hand, their scale, and the two ways to compare few and many queries."""

import numpy as np
import pytest

from barlowtf.metrics import kth_distances, nearest_neighbors, novelty, own_distances


def by_hand(bank, row, k):
    """Distance of a row to its k-th nearest other row."""
    distances = np.linalg.norm(bank.astype(np.float64) - bank[row], axis=1)
    return np.sort(np.delete(distances, row))[k - 1]


def test_own_distances_are_those_to_the_other_features():
    bank = np.random.default_rng(0).standard_normal((60, 5), np.float32)
    # More equals than neighbors.
    bank[40:50] = bank[40]
    for rows in (np.arange(60), np.array([3, 41, 49])):
        expected = sorted(by_hand(bank, row, 4) for row in rows)
        # The square of a length of 2 is right to 1e-6, so a distance of 0 to 1e-3.
        np.testing.assert_allclose(own_distances(bank, rows, neighbors=4), expected, atol=2e-3)
    with pytest.raises(ValueError, match="received 60, expected 1 to 59"):
        own_distances(bank, np.arange(3), neighbors=60)


def test_blocks_do_not_change_a_distance():
    r = np.random.default_rng(3)
    bank, queries = r.standard_normal((50, 4), np.float32), r.standard_normal((9, 4), np.float32)
    expected = np.sort(np.linalg.norm(bank[None] - queries[:, None], axis=2), axis=1)[:, 6]
    for block in (3, 8, 4096):
        np.testing.assert_allclose(kth_distances(bank, queries, neighbors=7, block=block), expected, rtol=1e-4)
    with pytest.raises(ValueError, match="received 51, expected 1 to 50"):
        kth_distances(bank, queries, neighbors=51)


def test_one_percent_of_the_bank_lies_above_099():
    bank = np.random.default_rng(1).standard_normal((1000, 8), np.float32)
    own = own_distances(bank, np.arange(1000), neighbors=10)
    assert np.sum(novelty(own, own) > 0.99) == 9
    assert novelty(np.array([0.0, own[500], 99.0]), own).tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_few_queries_find_what_many_find(scale):
    r = np.random.default_rng(2)
    bank, queries = r.standard_normal((300, 16), np.float32) * np.float32(scale), r.standard_normal((20, 16))
    bank[7] = 0
    # From as many queries as features are wide, these are divided by their lengths; below, the similarities are.
    many = nearest_neighbors(bank, queries, neighbors=5, block=64)
    few = [nearest_neighbors(bank, queries[[row]], neighbors=5, block=64) for row in range(20)]
    np.testing.assert_allclose(np.concatenate([similarity for similarity, _ in few]), many[0], atol=1e-6)
    assert np.concatenate([index for _, index in few]).tolist() == many[1].tolist()
