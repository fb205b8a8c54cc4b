"""The variants of the paper's Tables 5 and 6: formulas by hand, the loss itself, two replicas, models with them."""

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.errors import ConfigError
from barlowtf.losses import ViewEmbeddings, barlow_twins_loss, bind
from barlowtf.losses.barlow_twins_variants import BarlowTwinsVariantsSettings, barlow_twins_variant_loss
from tests.losses.comparing import correlated_views, on_two_replicas, relative_distance, value_and_gradients

VARIANTS: dict[str, dict] = {
    "original": {},
    "invariance only": {"lambd": 0.0},
    "redundancy only": {"invariance": 0.0},
    "features": {"normalize": "features"},
    "center": {"normalize": "center"},
    "cross-entropy": {"criterion": "cross_entropy", "lambd": 0.7, "temperature": 0.2},
    "stop-gradient": {"stop_gradient": True},
}


def variant(**settings):
    """Returns a loss of two arrays."""
    chosen = BarlowTwinsVariantsSettings(**settings)
    return lambda a, b: barlow_twins_variant_loss(ViewEmbeddings(a), ViewEmbeddings(b), chosen)


def by_loops(z_a, z_b, *, invariance=1.0, lambd=0.0051, normalize="batch", criterion="squares", temperature=0.1, **_):
    """The total in float64, entry by entry."""
    views = []
    for z in (z_a.astype("f8"), z_b.astype("f8")):
        z = z - z.mean(axis=0)
        if normalize != "center":
            z = z / np.sqrt(z.var(axis=0) + 1e-5)
        if normalize == "features":
            z = np.array([row / np.sqrt(row @ row) * np.sqrt(len(row)) for row in z])
        views.append(z)
    a, b = views
    dimensions = range(a.shape[1])
    entry = {(i, j): sum(a[:, i] * b[:, j]) / len(a) for i in dimensions for j in dimensions}
    if criterion == "squares":
        on = sum((1 - entry[i, i]) ** 2 for i in dimensions)
        off = sum(entry[i, j] ** 2 for i in dimensions for j in dimensions if i != j)
    else:
        on = -np.log(sum(np.exp(entry[i, i] / temperature) for i in dimensions))
        off = np.log(sum(np.exp(max(entry[i, j], 0) / temperature) for i in dimensions for j in dimensions if i != j))
    return invariance * on + lambd * off


@pytest.mark.parametrize("name", VARIANTS)
def test_equals_loops(name):
    z_a, z_b = correlated_views(9, 6, seed=2)
    found = float(variant(**VARIANTS[name])(z_a, z_b).total)
    assert found == pytest.approx(by_loops(z_a, z_b, **VARIANTS[name]), rel=1e-5)


@pytest.mark.parametrize("case", ["0", "1", "2"])
def test_without_settings_it_is_the_paper_s_loss(golden, case):
    with np.load(golden / "loss.npz") as record:
        z_a, z_b = record[f"{case}/z1"], record[f"{case}/z2"]
        terms, gradients = value_and_gradients(variant(), z_a, z_b)
        assert relative_distance(terms.total, record[f"{case}/loss"]) < 1e-5
        for gradient, name in zip(gradients, ("dz1", "dz2"), strict=True):
            assert relative_distance(gradient, record[f"{case}/{name}"]) < 1e-4
        assert relative_distance(terms, barlow_twins_loss(z_a, z_b)) < 1e-5


def test_scaled_loss_of_solo_learn_is_the_gradient_scaled(golden):
    with np.load(golden / "barlow_solo.npz") as record:
        for case in ("0", "1", "2"):
            terms, gradients = value_and_gradients(variant(), record[f"{case}/z1"], record[f"{case}/z2"])
            assert relative_distance(0.1 * terms.total, record[f"{case}/loss"]) < 1e-5
            for gradient, name in zip(gradients, ("dz1", "dz2"), strict=True):
                assert relative_distance(0.1 * gradient, record[f"{case}/{name}"]) < 1e-4


@pytest.mark.parametrize("name", VARIANTS)
def test_two_replicas_equal_one(two_replicas, name):
    loss, embeddings = variant(**VARIANTS[name]), correlated_views(12, 8, seed=3)
    expected, expected_gradients = value_and_gradients(loss, *embeddings)
    values, gradients = on_two_replicas(two_replicas, loss, *embeddings)
    for value, of_one in zip(values, expected, strict=True):
        assert value[0] == value[1]
        # float32 sums in another order.
        assert value[0] == pytest.approx(float(of_one), rel=1e-5)
    for found, of_one in zip(gradients, expected_gradients, strict=True):
        assert np.linalg.norm(found - of_one) <= 1e-5 * max(np.linalg.norm(of_one), 1e-3)


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "stop-gradient"])
def test_gradients_equal_differences(name):
    loss, embeddings = variant(**VARIANTS[name]), correlated_views(7, 5, seed=1)
    _, gradients = value_and_gradients(loss, *embeddings)
    for which in range(2):
        direction = np.random.default_rng(which).standard_normal(embeddings[which].shape)
        totals = []
        for step in (3e-3, -3e-3):
            moved = list(embeddings)
            moved[which] = (embeddings[which] + step * direction).astype("f4")
            totals.append(by_loops(*moved, **VARIANTS[name]))
        # The step's square is the error.
        slope = (totals[0] - totals[1]) / 6e-3
        assert np.sum(gradients[which] * direction) == pytest.approx(slope, rel=1e-3, abs=1e-4)


def test_stop_gradient_leaves_view_b_without_one_and_view_a_with_the_same():
    embeddings = correlated_views(8, 6)
    _, (by_a, by_b) = value_and_gradients(variant(stop_gradient=True), *embeddings)
    _, (expected, _) = value_and_gradients(variant(), *embeddings)
    np.testing.assert_array_equal(by_b, 0.0)
    np.testing.assert_array_equal(by_a, expected)


def test_prediction_takes_the_place_of_view_a():
    a, b, prediction = correlated_views(8, 6, 3)
    settings = BarlowTwinsVariantsSettings(predictor=(4,))
    found = barlow_twins_variant_loss(ViewEmbeddings(a, prediction), ViewEmbeddings(b, a), settings)
    assert float(found.total) == float(variant()(prediction, b).total)


def test_parts():
    assert bind("barlow_twins_variants").parts.predictor is None
    assert bind("barlow_twins_variants", {"predictor": [16, 8]}).parts.predictor == (16, 8)


def test_bfloat16_embeddings_and_xla():
    embeddings = correlated_views(8, 12)
    for name, settings in VARIANTS.items():
        loss = variant(**settings)
        halves = [tf.cast(z, tf.bfloat16) for z in embeddings]
        assert float(loss(*halves).total) == float(loss(*(tf.cast(z, tf.float32) for z in halves)).total), name
        compiled = tf.function(lambda *own, loss=loss: value_and_gradients(loss, *own), jit_compile=True)
        terms, gradients = compiled(*map(tf.constant, embeddings))
        expected, expected_gradients = value_and_gradients(loss, *embeddings)
        assert relative_distance(terms, expected) < 1e-5, name
        assert relative_distance(gradients, expected_gradients) < 1e-4, name


def test_wrong_settings_and_embeddings_are_errors():
    for settings in ({"normalize": "rows"}, {"criterion": "l1"}, {"temperature": 0.0}, {"predictor": (0,)}):
        with pytest.raises(ConfigError, match="loss"):
            bind("barlow_twins_variants", settings)
    with pytest.raises(ValueError, match="Invalid embeddings: received shapes"):
        variant()(tf.zeros([4, 3]), tf.zeros([4, 2]))
    with pytest.raises(ValueError, match="Invalid embeddings: received D = 1"):
        variant(criterion="cross_entropy")(tf.zeros([4, 1]), tf.zeros([4, 1]))
