import importlib.machinery
import sys
import types

import numpy as np
import pytest

from barlowtf.report.maps import make_maps, nearest, unit_rows


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)


def test_nearest_are_those_of_largest_cosine(features):
    rows, similarity = nearest(features, np.array([4, 7]), 3)
    for query, found, values in zip((4, 7), rows, similarity, strict=True):
        cosines = [
            float(np.dot(features[query], other) / np.linalg.norm(features[query]) / np.linalg.norm(other))
            for other in features
        ]
        expected = sorted((number for number in range(30) if number != query), key=lambda number: -cosines[number])[:3]
        assert found.tolist() == expected
        assert values == pytest.approx([cosines[number] for number in expected], abs=1e-6)


def test_pca_keeps_the_widest_directions_in_one_scale(features):
    unit = unit_rows(features)
    centered = unit - unit.mean(axis=0)
    _, singular, axes = np.linalg.svd(centered, full_matrices=False)
    expected = centered @ axes[:2].T
    places = make_maps(features)[0].places
    assert places.min() >= 0 and places.max() <= 1
    # Distances: signs and position are free, one scale serves both axes.
    distance, wanted = (np.linalg.norm(p[:, None] - p[None], axis=-1) for p in (places, expected))
    np.testing.assert_allclose(distance / distance.max(), wanted / wanted.max(), atol=1e-9)
    share = 100 * (singular[:2] ** 2).sum() / (singular**2).sum()
    assert f" {share:.0f} %" in make_maps(features)[0].caption


@pytest.mark.parametrize("features", [np.ones((5, 4)), np.zeros((5, 4)), np.ones((2, 1)), np.eye(2)])
def test_collapsed_and_tiny_features_have_a_map(features):
    (pca,) = make_maps(features)
    assert pca.places.shape == (len(features), 2)
    assert np.isfinite(pca.places).all()


def test_umap_is_used_where_it_is_installed(features, monkeypatch):
    class UMAP:
        def __init__(self, **settings):
            assert settings["metric"] == "cosine"

        def fit_transform(self, rows):
            return rows[:, 2:4]

    module = types.ModuleType("umap")
    module.UMAP = UMAP
    module.__spec__ = importlib.machinery.ModuleSpec("umap", None)
    monkeypatch.setitem(sys.modules, "umap", module)
    assert [each.method for each in make_maps(features)] == ["PCA", "UMAP"]
    assert [each.method for each in make_maps(features[:10])] == ["PCA"]
