"""SimCLR, SimSiam, BYOL and FroSSL: the numbers of their authors' code, oracles by hand; all methods on replicas."""

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.losses import ViewEmbeddings, bind
from barlowtf.losses.byol import byol_loss
from barlowtf.losses.frossl import frossl_loss
from barlowtf.losses.lejepa import lejepa_loss
from barlowtf.losses.simclr import simclr_loss
from barlowtf.losses.simsiam import simsiam_loss
from barlowtf.losses.swav import swav_loss
from barlowtf.losses.wmse import wmse_loss
from tests.losses.comparing import correlated_views, on_two_replicas, relative_distance, value_and_gradients


def of_predictions(loss):
    """Returns a loss of views as one of predictions and targets."""

    def by_arrays(p_a, p_b, target_a, target_b):
        views = (ViewEmbeddings(p, p, target) for p, target in ((p_a, target_a), (p_b, target_b)))
        return loss(*views)

    return by_arrays


def of_cosines(*embeddings):
    """SwAV's loss of two full views and local ones; the prototypes are the unit vectors of nine dimensions."""
    scores = [tf.math.l2_normalize(tf.cast(z, tf.float32), axis=1)[:, :9] for z in embeddings]
    return swav_loss(scores[:2], scores[2:])


def of_directions(*embeddings):
    """LeJEPA's loss of two full views and local ones, in directions that share no symmetry with the data."""
    directions = np.random.default_rng(5).standard_normal((7, embeddings[0].shape[1]))
    directions = np.float32(directions / np.linalg.norm(directions, axis=1, keepdims=True))
    return lejepa_loss(embeddings[:2], embeddings[2:], directions=directions)


METHODS = {
    "simclr": (simclr_loss, 2),
    "simsiam": (of_predictions(simsiam_loss), 4),
    "byol": (of_predictions(byol_loss), 4),
    "frossl": (frossl_loss, 2),
    "frossl of three views": (frossl_loss, 3),
    "swav": (of_cosines, 2),
    "swav with a local view": (of_cosines, 3),
    "wmse": (lambda *views: wmse_loss(*(z[:, :4] for z in views)), 2),
    "lejepa": (of_directions, 2),
    "lejepa with a local view": (of_directions, 3),
}
# Floats of the originals run in float32 are off by 5e-7 in a loss and 1.5e-6 in a gradient.
LOSS, GRADIENT = 1e-5, 1e-4


@pytest.mark.parametrize("temperature", ["0.1", "0.5"])
@pytest.mark.parametrize("case", ["0", "1", "2"])
def test_simclr_equals_the_recorded_numbers(golden, case, temperature):
    with np.load(golden / "simclr.npz") as record:
        key = f"{case}/t{temperature}"
        terms, gradients = value_and_gradients(
            lambda a, b: simclr_loss(a, b, temperature=float(temperature)), record[f"{case}/z1"], record[f"{case}/z2"]
        )
        assert relative_distance(terms.total, record[f"{key}/loss"]) < LOSS
        # Google's code adds the two directions.
        assert relative_distance(2.0 * terms.total, record[f"{key}/google_loss"]) < LOSS
        for gradient, name in zip(gradients, ("dz1", "dz2"), strict=True):
            assert relative_distance(gradient, record[f"{key}/{name}"]) < GRADIENT


@pytest.mark.parametrize(("name", "loss"), [("simsiam", simsiam_loss), ("byol", byol_loss)])
@pytest.mark.parametrize("case", ["0", "1", "2"])
def test_losses_of_predictions_equal_the_recorded_numbers(golden, case, name, loss):
    with np.load(golden / "byol_simsiam.npz") as record:
        arrays = [record[f"{case}/{key}"] for key in ("p1", "p2", "z1", "z2")]
        terms, gradients = value_and_gradients(of_predictions(loss), *arrays)
        assert relative_distance(terms.total, record[f"{case}/{name}/loss"]) < LOSS
        for gradient, key in zip(gradients[:2], ("dp1", "dp2"), strict=True):
            assert relative_distance(gradient, record[f"{case}/{name}/{key}"]) < GRADIENT


@pytest.mark.parametrize("case", ["0", "1", "2"])
def test_frossl_equals_the_recorded_numbers(golden, case):
    with np.load(golden / "other_losses.npz") as record:
        terms, gradients = value_and_gradients(frossl_loss, *(record[f"frossl/{case}/{z}"] for z in ("z1", "z2")))
        assert relative_distance(terms.total, record[f"frossl/{case}/multiview/loss"]) < LOSS
        for gradient, name in zip(gradients, ("dz1", "dz2"), strict=True):
            assert relative_distance(gradient, record[f"frossl/{case}/multiview/{name}"]) < GRADIENT


def test_frossl_of_four_views_equals_the_recorded_numbers(golden):
    with np.load(golden / "other_losses.npz") as record:
        views = [record[f"frossl/four/z{number}"] for number in range(4)]
        terms, gradients = value_and_gradients(lambda *z: frossl_loss(*z, invariance=2.0), *views)
        assert relative_distance(terms.total, record["frossl/four/loss"]) < LOSS
        for number, gradient in enumerate(gradients):
            assert relative_distance(gradient, record[f"frossl/four/dz{number}"]) < GRADIENT


def simclr_by_loops(z_a, z_b, temperature):
    rows = [z / np.linalg.norm(z) for z in np.concatenate([z_a, z_b]).astype("f8")]
    count, losses = len(z_a), []
    for i, row in enumerate(rows):
        partner = (i + count) % (2 * count)
        others = [np.exp(row @ other / temperature) for j, other in enumerate(rows) if j != i]
        losses.append(np.log(sum(others)) - row @ rows[partner] / temperature)
    return np.mean(losses)


def test_simclr_equals_loops():
    z_a, z_b = correlated_views(7, 5)
    assert float(simclr_loss(z_a, z_b, temperature=0.2).total) == pytest.approx(
        simclr_by_loops(z_a, z_b, 0.2), rel=1e-5
    )


def frossl_by_hand(views, weight):
    columns = [z.astype("f8") / np.linalg.norm(z.astype("f8"), axis=0) for z in views]
    width, mean = columns[0].shape[1], np.mean(columns, axis=0)
    norms = sum(2 * np.log(np.linalg.norm(x.T @ x / width)) for x in columns)
    return norms + weight * len(views) * width * sum(np.mean((x - mean) ** 2) for x in columns)


@pytest.mark.parametrize(("examples", "dimensions"), [(6, 20), (20, 6)])
def test_frossl_equals_its_formula_in_both_forms(examples, dimensions):
    views = correlated_views(examples, dimensions, 3)
    found = float(frossl_loss(*views, invariance=1.4).total)
    assert found == pytest.approx(frossl_by_hand(views, 1.4), rel=1e-5, abs=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_two_replicas_equal_one(two_replicas, method):
    loss, count = METHODS[method]
    embeddings = correlated_views(12, 20, count, seed=3)
    expected, expected_gradients = value_and_gradients(loss, *embeddings)
    values, gradients = on_two_replicas(two_replicas, loss, *embeddings)
    for value, of_one in zip(values, expected, strict=True):
        assert value[0] == value[1]
        # float32 sums in another order.
        assert value[0] == pytest.approx(float(of_one), rel=1e-5, abs=1e-6)
    for found, of_one in zip(gradients, expected_gradients, strict=True):
        assert np.linalg.norm(found - of_one) <= 1e-5 * max(np.linalg.norm(of_one), 1e-3)


# Differences would move the codes of SwAV, too, which have no gradient.
@pytest.mark.parametrize("method", [method for method in METHODS if not method.startswith("swav")])
def test_gradients_equal_differences(method):
    loss, count = METHODS[method]
    embeddings = correlated_views(6, 5, count, seed=1)
    _, gradients = value_and_gradients(loss, *embeddings)
    watched = range(2) if count == 4 else range(count)
    for which in watched:
        direction = np.random.default_rng(which).standard_normal(embeddings[which].shape)
        totals = []
        for step in (3e-3, -3e-3):
            moved = list(embeddings)
            moved[which] = (embeddings[which] + step * direction).astype("f4")
            totals.append(float(loss(*moved).total))
        # Differences of float32 values: the step is large, and its square is the error.
        assert np.sum(gradients[which] * direction) == pytest.approx((totals[0] - totals[1]) / 6e-3, rel=2e-2, abs=2e-3)


@pytest.mark.parametrize("method", METHODS)
def test_bfloat16_embeddings_are_measured_in_float32(method):
    loss, count = METHODS[method]
    embeddings = [tf.cast(z, tf.bfloat16) for z in correlated_views(8, 12, count)]
    terms, gradients = value_and_gradients(loss, *embeddings)
    exact, _ = value_and_gradients(loss, *(tf.cast(z, tf.float32) for z in embeddings))
    assert terms.total.dtype == tf.float32
    assert float(terms.total) == float(exact.total)
    assert {gradient.dtype for gradient in gradients} == {tf.bfloat16}


@pytest.mark.parametrize("method", METHODS)
def test_compiles_with_xla_and_for_a_batch_known_only_when_running(method):
    loss, count = METHODS[method]
    embeddings = correlated_views(8, 12, count)
    expected, expected_gradients = value_and_gradients(loss, *embeddings)

    def step(*own):
        return value_and_gradients(loss, *own)

    specs = [tf.TensorSpec([None, 12])] * count
    for compiled in (tf.function(step, jit_compile=True), tf.function(step, input_signature=specs)):
        terms, gradients = compiled(*map(tf.constant, embeddings))
        assert relative_distance(terms, expected) < 1e-5
        assert relative_distance(gradients, expected_gradients) < 1e-4


def test_properties():
    a, b = correlated_views(16, 8)
    # Lengths do not matter to cosines, nor scales of dimensions to FroSSL.
    assert float(simclr_loss(3.0 * a, 0.5 * b).total) == pytest.approx(float(simclr_loss(a, b).total), rel=1e-5)
    scales = np.linspace(0.5, 3.0, 8, dtype="f4")
    assert float(frossl_loss(a * scales, b * scales).total) == pytest.approx(float(frossl_loss(a, b).total), rel=1e-4)
    assert float(frossl_loss(a, a).invariance) == 0.0
    # All embeddings equal: a row meets 2N - 1 others as near as its partner.
    same = np.ones((16, 8), "f4")
    assert float(simclr_loss(same, same).total) == pytest.approx(np.log(31), rel=1e-6)
    # Constant embeddings have the largest norm there is: D / D for each of two views.
    assert float(frossl_loss(same, same).norm) == pytest.approx(0.0, abs=1e-5)
    aligned = of_predictions(byol_loss)(a, b, b, a)
    assert float(aligned.total) == pytest.approx(0.0, abs=1e-5)


def test_local_views_predict_and_are_not_predicted():
    a, b, local = (tf.constant(z) for z in correlated_views(6, 4, 3))
    views = [ViewEmbeddings(z, z, z) for z in (a, b)] + [ViewEmbeddings(local, local, local=True)]
    for name, loss in (("byol", byol_loss), ("simsiam", simsiam_loss)):
        found = bind(name).compute(views)
        pairs = [loss(views[0], views[1]), loss(views[0], views[2]), loss(views[1], views[2])]
        assert float(found["total"]) == pytest.approx(np.mean([float(pair.total) for pair in pairs]), rel=1e-5)


def test_wrong_embeddings_are_errors():
    for loss in (simclr_loss, frossl_loss, wmse_loss):
        for shapes in (([4, 3], [4, 2]), ([4, 3, 1], [4, 3, 1]), ([1, 3], [1, 3])):
            with pytest.raises(ValueError, match="Invalid .* received .* expected"):
                loss(*map(tf.zeros, shapes))
    with pytest.raises(ValueError, match="Invalid views: received 1"):
        frossl_loss(tf.zeros([4, 3]))
