"""LeJEPA and SIGReg: the numbers of their authors' code, and oracles by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.losses import ViewEmbeddings, bind
from barlowtf.losses.lejepa import lejepa_loss, sigreg
from tests.losses.comparing import correlated_views, relative_distance, value_and_gradients


def unit_rows(count, width, seed=0):
    rows = np.random.default_rng(seed).standard_normal((count, width))
    return np.float32(rows / np.linalg.norm(rows, axis=1, keepdims=True))


@pytest.mark.parametrize("case", ["0", "1"])
def test_sigreg_equals_the_recorded_numbers(golden, case):
    with np.load(golden / "other_losses.npz") as record:
        directions = record[f"sigreg/{case}/directions"].T
        terms, gradients = value_and_gradients(
            lambda *z: SimpleNamespace(total=sigreg(z, directions)), *record[f"sigreg/{case}/z"]
        )
        assert relative_distance(terms.total, record[f"sigreg/{case}/loss"]) < 1e-5
        assert relative_distance(gradients, record[f"sigreg/{case}/dz"]) < 1e-4


@pytest.mark.parametrize("case", ["0", "1"])
def test_lejepa_equals_the_recorded_numbers(golden, case):
    with np.load(golden / "other_losses.npz") as record:
        directions = record[f"lejepa/{case}/directions"].T

        def loss(*embeddings):
            views = [ViewEmbeddings(z, local=n > 1, directions=directions) for n, z in enumerate(embeddings)]
            return SimpleNamespace(**bind("lejepa").compute(views))

        terms, gradients = value_and_gradients(loss, *record[f"lejepa/{case}/views"])
        assert relative_distance(terms.total, record[f"lejepa/{case}/loss"]) < 1e-5
        assert relative_distance(gradients, record[f"lejepa/{case}/dviews"]) < 1e-4


def sigreg_by_loops(views, directions):
    statistics = []
    for z in views:
        for direction in directions.astype("f8"):
            x, integrand = z.astype("f8") @ direction, []
            for t in np.linspace(-3.0, 3.0, 33):
                gap = np.mean(np.exp(1j * t * x)) - np.exp(-(t**2) / 2)
                integrand.append(np.exp(-(t**2) / 2) * abs(gap) ** 2)
            statistics.append(len(x) * np.trapezoid(integrand, dx=3.0 / 16))
    return np.mean(statistics)


@pytest.mark.parametrize(("full", "local"), [(2, 0), (2, 3), (4, 1), (1, 2)])
def test_equals_loops(full, local):
    views, directions = correlated_views(9, 5, full + local, seed=2), unit_rows(4, 5)
    terms = lejepa_loss(views[:full], views[full:], directions=directions, weight=0.3)
    center = np.mean(views[:full], axis=0, dtype="f8")
    invariance, normality = np.mean([(z - center) ** 2 for z in views]), sigreg_by_loops(views, directions)
    assert float(terms.sigreg) == pytest.approx(normality, rel=1e-5)
    assert float(terms.invariance) == pytest.approx(invariance, rel=1e-5)
    assert float(terms.total) == pytest.approx(0.7 * invariance + 0.3 * normality, rel=1e-5)


def test_normal_embeddings_have_the_statistic_of_any_sample_and_collapsed_ones_more():
    directions, random = unit_rows(64, 16), np.random.default_rng(0)
    for count in (64, 512):
        # The integral of exp(-t^2 / 2) (1 - exp(-t^2)) over [-3, 3]; 16 independent dimensions, 8 samples.
        samples = [float(sigreg([np.float32(random.standard_normal((count, 16)))], directions)) for _ in range(8)]
        assert np.mean(samples) == pytest.approx(1.05, abs=0.25)
        collapsed = float(sigreg([np.full((count, 16), 0.5, "f4")], directions))
        assert collapsed > 0.2 * count
    same = correlated_views(8, 16)[0]
    assert float(lejepa_loss([same, same], directions=directions).invariance) == 0.0


def test_wrong_views_are_errors():
    z, directions = tf.zeros([4, 3]), tf.eye(3)
    with pytest.raises(ValueError, match="Invalid views: received 1 full and 0 local ones, expected at least 2"):
        lejepa_loss([z], directions=directions)
    with pytest.raises(ValueError, match="Invalid views: received none, expected at least 1"):
        sigreg([], directions)
    with pytest.raises(ValueError, match="Invalid embeddings: received shapes"):
        lejepa_loss([z, tf.zeros([4, 2])], directions=directions)
    with pytest.raises(ValueError, match="Invalid views: received one without directions"):
        bind("lejepa").compute([ViewEmbeddings(z)] * 2)
