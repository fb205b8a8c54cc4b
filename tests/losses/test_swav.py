"""SwAV: the numbers of its authors' code, and oracles by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.errors import ConfigError
from barlowtf.losses import ViewEmbeddings, bind
from barlowtf.losses.cosine import unit
from barlowtf.losses.swav import assign, swav_loss
from tests.losses.comparing import relative_distance, value_and_gradients


def cosines(examples, prototypes, count, seed=0):
    r = np.random.default_rng(seed)
    common = r.uniform(-0.5, 0.5, (examples, prototypes))
    return [np.float32(common + r.uniform(-0.4, 0.4, common.shape)) for _ in range(count)]


def record_of(golden, case):
    with np.load(golden / "swav.npz") as record:
        return {key.removeprefix(f"{case}/"): record[key] for key in record.files if key.startswith(f"{case}/")}


@pytest.mark.parametrize(("case", "count"), [("0", 2), ("1", 2), ("2", 4)])
def test_scores_codes_and_gradients_equal_the_recorded_numbers(golden, case, count):
    record = record_of(golden, case)
    scores = [record[f"scores{view}"] for view in range(count)]
    for view in range(2):
        # Cosines of float32 are divided by 0.05: the authors' own float32 code is as far off.
        assert relative_distance(assign(scores[view]), record[f"codes{view}"]) < 1e-5
    terms, gradients = value_and_gradients(lambda *s: swav_loss(s[:2], s[2:]), *scores)
    assert relative_distance(terms.total, record["loss"]) < 1e-5
    for view, gradient in enumerate(gradients):
        assert relative_distance(gradient, record[f"dscores{view}"]) < 1e-4


@pytest.mark.parametrize(("case", "count"), [("0", 2), ("1", 2), ("2", 4)])
def test_gradients_by_embeddings_and_prototypes_equal_the_recorded_numbers(golden, case, count):
    record = record_of(golden, case)
    embeddings = [record[f"z{view}"] for view in range(count)]
    vectors = unit(record["prototypes"])

    def loss(vectors, *embeddings):
        views = [
            ViewEmbeddings(z, scores=tf.matmul(unit(z), vectors, transpose_b=True), local=number > 1)
            for number, z in enumerate(embeddings)
        ]
        return SimpleNamespace(**bind("swav").compute(views))

    terms, gradients = value_and_gradients(loss, vectors, *embeddings)
    assert relative_distance(terms.total, record["loss"]) < 1e-5
    assert relative_distance(gradients[0], record["dprototypes"]) < 1e-4
    for view, gradient in enumerate(gradients[1:]):
        assert relative_distance(gradient, record[f"dz{view}"]) < 1e-4


def swav_by_loops(full, local, temperature, epsilon, rounds):
    """The loss, its gradient by the scores with the codes held, and the mean entropy of the codes, in float64."""
    views = [scores.astype("f8") for scores in (*full, *local)]
    count, width = views[0].shape
    losses, entropies, gradients = [], [], [np.zeros_like(scores) for scores in views]
    for which in range(len(full)):
        code = np.exp(views[which] / epsilon)
        code /= code.sum()
        for _ in range(rounds):
            for k in range(width):
                code[:, k] /= code[:, k].sum() * width
            for n in range(count):
                code[n] /= code[n].sum() * count
        code *= count
        entropies.append(-np.mean(np.sum(code * np.log(code), axis=1)))
        for other, scores in enumerate(views):
            if other == which:
                continue
            p = np.exp(scores / temperature)
            p /= p.sum(axis=1, keepdims=True)
            losses.append(-np.mean(np.sum(code * np.log(p), axis=1)))
            gradients[other] += (p - code) / temperature / count / (len(views) - 1) / len(full)
    return np.mean(losses), gradients, np.mean(entropies)


@pytest.mark.parametrize(("full", "local"), [(2, 0), (2, 3), (4, 1), (1, 1)])
def test_equals_loops(full, local):
    scores = cosines(7, 5, full + local, seed=full)
    expected, expected_gradients, entropy = swav_by_loops(scores[:full], scores[full:], 0.2, 0.1, 2)
    terms, gradients = value_and_gradients(
        lambda *s: swav_loss(s[:full], s[full:], temperature=0.2, epsilon=0.1, rounds=2), *scores
    )
    assert float(terms.total) == pytest.approx(expected, rel=1e-5)
    assert float(terms.entropy) == pytest.approx(entropy, rel=1e-5)
    assert float(terms.divergence) == pytest.approx(expected - entropy, rel=1e-4)
    for gradient, by_hand in zip(gradients, expected_gradients, strict=True):
        assert relative_distance(gradient, by_hand) < 1e-4


def test_codes_are_shares_of_equally_used_prototypes():
    (scores,) = cosines(64, 8, 1)
    codes = assign(tf.constant(scores), rounds=200).numpy()
    assert codes.sum(axis=1) == pytest.approx(np.ones(64), rel=1e-5)
    assert codes.sum(axis=0) == pytest.approx(np.full(8, 8.0), rel=1e-3)
    # The sharpest codes that the settings allow stay finite for any cosines.
    extreme = tf.constant(np.where(np.eye(16) > 0, 1.0, -1.0), tf.float32)
    np.testing.assert_allclose(assign(extreme, epsilon=0.02), np.eye(16), atol=1e-6)


def test_collapsed_embeddings_have_the_entropy_of_equal_shares():
    same = np.tile(np.linspace(-0.9, 0.9, 6, dtype="f4"), (12, 1))
    assert float(swav_loss([same, same]).entropy) == pytest.approx(np.log(6), rel=1e-5)


def test_wrong_views_and_settings_are_errors():
    scores = tf.zeros([4, 3])
    with pytest.raises(ValueError, match="Invalid views: received 1 full and 0 local ones, expected at least 2"):
        swav_loss([scores])
    with pytest.raises(ValueError, match="Invalid views: received 0 full and 2 local ones"):
        swav_loss([], [scores, scores])
    with pytest.raises(ValueError, match="Invalid embeddings: received shapes"):
        swav_loss([scores, tf.zeros([4, 2])])
    with pytest.raises(ValueError, match="Invalid views: received one without scores"):
        bind("swav").compute([ViewEmbeddings(scores)] * 2)
    with pytest.raises(ConfigError, match="Invalid loss.epsilon: received 0.01, expected a number greater than or"):
        bind("swav", {"epsilon": 0.01})
