"""Groups of equal and of nearly equal images, against pairs that are known."""

import numpy as np

from barlowtf.data import Group, equal_groups, near_groups, thumbnail_vectors, whitened

R = np.random.default_rng(0)


def test_equal_digests_are_one_group():
    assert equal_groups([b"a", b"b", b"a", b"c", b"b", b"a"]) == [Group((0, 2, 5), 1.0), Group((1, 4), 1.0)]
    assert equal_groups([]) == []


def test_chains_of_neighbors_are_one_group():
    angles = np.radians([0, 8, 16, 90, 180, 188])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    first, second = near_groups(vectors, threshold=0.99)
    assert (first.members, second.members) == ((0, 1, 2), (4, 5))
    np.testing.assert_allclose([first.similarity, second.similarity], np.cos(np.radians(8)), rtol=1e-5)
    assert near_groups(vectors, threshold=0.9999) == near_groups(vectors[:1], threshold=0.5) == []


def test_a_large_group_stays_whole():
    vectors = R.standard_normal((300, 40))
    vectors[50:150] = vectors[50] + 0.01 * vectors[50:150]
    (group,) = near_groups(vectors, threshold=0.99)
    assert group.members == tuple(range(50, 150))


def test_thumbnails_are_compared_by_their_correlation():
    thumbnail = R.integers(0, 100, (16, 16, 3)).astype(np.uint8)
    brighter, nearly_flat = 2 * thumbnail + 20, np.full((16, 16, 3), 90, np.uint8)
    nearly_flat[0, 0] = 95
    vectors, has_contrast = thumbnail_vectors(np.stack([thumbnail, brighter, nearly_flat]))
    assert has_contrast.tolist() == [True, True, False]
    np.testing.assert_allclose(np.corrcoef(vectors)[0, 1], 1.0, atol=1e-5)
    assert near_groups(vectors[has_contrast], 0.98)[0].members == (0, 1)


def test_whitened_features_have_no_direction_in_common():
    hidden = R.standard_normal((800, 20)) * np.geomspace(100, 0.1, 20)
    features = (hidden @ R.standard_normal((20, 30)) + 50).astype(np.float32)
    white = whitened(features)
    # Of 30 columns only 20 are independent.
    assert white.shape == (800, 20)
    np.testing.assert_allclose(white.T @ white / 800, np.eye(20), atol=2e-3)
    assert whitened(features[:80]).shape == (80, 10)
    assert whitened(np.ones((5, 3), np.float32)).shape[0] == 5
