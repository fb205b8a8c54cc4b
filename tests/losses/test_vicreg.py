import numpy as np
import pytest
import tensorflow as tf

from barlowtf.losses import ViewEmbeddings, bind
from barlowtf.losses.vicreg import VICRegTerms, gram_is_cheaper, vicreg_loss

TERMS = ("invariance", "variance", "covariance")
# A weight for one term, and none for the others.
ONLY = {name: {other: float(other == name) for other in TERMS} for name in TERMS}


def value_and_gradient(z_a, z_b, **weights):
    z_a, z_b = tf.convert_to_tensor(z_a), tf.convert_to_tensor(z_b)
    with tf.GradientTape() as tape:
        tape.watch([z_a, z_b])
        terms = vicreg_loss(z_a, z_b, **weights)
    return terms, tape.gradient(terms.total, [z_a, z_b])


def oracle(z_a, z_b, *, invariance=25.0, variance=25.0, covariance=1.0):
    """The formulas of the paper in float64, with the D x D matrix written out; returns total and terms."""
    z_a, z_b = z_a.astype("f8"), z_b.astype("f8")
    difference = np.mean((z_a - z_b) ** 2)
    hinges, squares = [], []
    for z in (z_a, z_b):
        hinges.append(np.maximum(0.0, 1.0 - np.sqrt(z.var(0, ddof=1) + 1e-4)).mean())
        matrix = np.cov(z, rowvar=False, ddof=1)
        squares.append((matrix[~np.eye(len(matrix), dtype=bool)] ** 2).sum() / len(matrix))
    terms = difference, sum(hinges) / 2, sum(squares)
    return np.dot((invariance, variance, covariance), terms), *terms


def views(examples, dimensions, seed=0):
    """Two correlated views whose dimensions have standard deviations on both sides of 1."""
    random = np.random.default_rng(seed)
    common = random.standard_normal((examples, dimensions))
    scale, shift = random.uniform(0.2, 1.5, dimensions), random.uniform(-2.0, 2.0, dimensions)
    return [((common + 0.5 * random.standard_normal(common.shape)) * scale + shift).astype("f4") for _ in range(2)]


def relative_distance(value, expected):
    value, expected = np.asarray(value, "f8"), np.asarray(expected, "f8")
    return np.linalg.norm(value - expected) / max(np.linalg.norm(expected), 1e-30)


# The original is off by 5e-7 in a loss and 1.5e-6 in a gradient when it runs in float32.
@pytest.mark.parametrize("case", [0, 1, 2, 3])
def test_equals_the_authors_code(golden, case):
    with np.load(golden / "vicreg.npz") as record:
        z_a, z_b = record[f"{case}/z1"], record[f"{case}/z2"]
        terms, gradients = value_and_gradient(z_a, z_b)
        assert relative_distance(terms.total, record[f"{case}/loss"]) < 1e-5
        for gradient, name in zip(gradients, ("dz1", "dz2"), strict=True):
            assert relative_distance(gradient, record[f"{case}/{name}"]) < 1e-4
        for term in TERMS:
            assert relative_distance(getattr(terms, term), record[f"{case}/{term}"]) < 1e-5
            _, gradients = value_and_gradient(z_a, z_b, **ONLY[term])
            for gradient, name in zip(gradients, ("dz1", "dz2"), strict=True):
                assert relative_distance(gradient, record[f"{case}/{term}_{name}"]) < 1e-4, (term, name)


def test_solo_learn_adds_the_views_of_the_variance_term(golden):
    with np.load(golden / "vicreg.npz") as record:
        terms, gradients = value_and_gradient(record["1/z1"], record["1/z2"], variance=50.0)
        assert relative_distance(terms.total, record["1/solo_loss"]) < 1e-5
        assert relative_distance(gradients[0], record["1/solo_dz1"]) < 1e-4


@pytest.mark.parametrize(("examples", "dimensions"), [(2, 3), (16, 40), (40, 16), (24, 24)])
def test_terms_equal_the_oracle(examples, dimensions):
    z_a, z_b = views(examples, dimensions)
    weights = {"invariance": 2.0, "variance": 3.0, "covariance": 0.5}
    # float32 sums of up to 40 * 40 products.
    np.testing.assert_allclose(vicreg_loss(z_a, z_b, **weights), oracle(z_a, z_b, **weights), rtol=1e-4)


def test_gradient_equals_differences_of_the_oracle():
    z_a, z_b = views(6, 5)
    _, (by_a, by_b) = value_and_gradient(z_a, z_b)
    for row, column in [(0, 0), (3, 1), (5, 4), (2, 2)]:
        for gradient, which in ((by_a, 0), (by_b, 1)):
            totals = []
            for step in (1e-5, -1e-5):
                moved = [z.astype("f8") for z in (z_a, z_b)]
                moved[which][row, column] += step
                totals.append(oracle(*moved)[0])
            # Central differences in float64 are good to 1e-8; the rest is the float32 of the gradient.
            expected = (totals[0] - totals[1]) / 2e-5
            assert float(gradient[row, column]) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_both_forms_of_the_covariance_term_agree(monkeypatch):
    z_a, z_b = views(24, 24)
    found = []
    for gram in (True, False):
        monkeypatch.setattr("barlowtf.losses.vicreg.gram_is_cheaper", lambda *_, gram=gram: gram)
        terms, gradients = value_and_gradient(z_a, z_b, **ONLY["covariance"])
        found.append((terms.covariance, *gradients))
    for one, other in zip(*found, strict=True):
        # float32 sums in another order.
        assert relative_distance(one, other) < 1e-5


def test_the_cheaper_form():
    assert gram_is_cheaper(256, 8192)
    assert not gram_is_cheaper(257, 256)
    assert gram_is_cheaper(None, 8) and gram_is_cheaper(8, None)


def test_properties():
    z_a, z_b = views(32, 8)
    terms = vicreg_loss(z_a, z_b)
    # A shift of one view reaches the invariance term alone; float32 at values up to 10.
    shifted = vicreg_loss(z_a + 8.0, z_b)
    np.testing.assert_allclose(shifted[2:], terms[2:], rtol=1e-4)
    assert float(shifted.invariance) > float(terms.invariance) + 10.0
    # The views may change places, and equal views have no invariance term.
    np.testing.assert_allclose(vicreg_loss(z_b, z_a), terms, rtol=1e-6)
    assert float(vicreg_loss(z_a, z_a).invariance) == 0.0
    # Large embeddings have no variance term and no gradient of it.
    far, gradients = value_and_gradient(100.0 * z_a, 100.0 * z_b, **ONLY["variance"])
    assert float(far.variance) == 0.0
    assert all(np.all(gradient.numpy() == 0.0) for gradient in gradients)


def test_constant_dimensions_give_no_variance_gradient():
    z = np.tile(np.arange(6, dtype="f4"), (4, 1))
    terms, gradients = value_and_gradient(z, z)
    assert float(terms.variance) == pytest.approx(0.99)
    assert all(np.all(gradient.numpy() == 0.0) for gradient in gradients)


def test_bfloat16_embeddings_are_measured_in_float32():
    z_a, z_b = (tf.cast(z, tf.bfloat16) for z in views(16, 24))
    terms, gradients = value_and_gradient(z_a, z_b)
    exact, exact_gradients = value_and_gradient(tf.cast(z_a, tf.float32), tf.cast(z_b, tf.float32))
    assert terms.total.dtype == tf.float32
    assert float(terms.total) == float(exact.total)
    assert [gradient.dtype for gradient in gradients] == [tf.bfloat16] * 2
    np.testing.assert_array_equal(gradients[0], tf.cast(exact_gradients[0], tf.bfloat16))


@pytest.mark.parametrize("shape", [(16, 24), (24, 16)])
def test_compiles_with_xla_and_for_a_batch_known_only_when_running(shape):
    z_a, z_b = views(*shape)
    expected, expected_gradients = value_and_gradient(z_a, z_b)
    spec = tf.TensorSpec([None, shape[1]])
    for compiled in (
        tf.function(value_and_gradient, jit_compile=True),
        tf.function(value_and_gradient, input_signature=[spec, spec]),
    ):
        terms, gradients = compiled(tf.constant(z_a), tf.constant(z_b))
        # float32 sums in another order.
        assert relative_distance(terms, expected) < 1e-5
        assert relative_distance(gradients, expected_gradients) < 1e-5


def split_over(strategy, halves):
    return strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(halves[context.replica_id_in_sync_group])
    )


@pytest.mark.parametrize("shape", [(16, 24), (24, 16)])
def test_two_replicas_equal_one(two_replicas, shape):
    z_a, z_b = views(*shape, seed=5)
    half = shape[0] // 2

    @tf.function
    def step(a, b):
        with tf.GradientTape() as tape:
            tape.watch([a, b])
            terms = vicreg_loss(a, b)
            share = terms.total / 2
        return terms, tape.gradient(share, [a, b])

    terms, gradients = two_replicas.run(step, args=[split_over(two_replicas, (z[:half], z[half:])) for z in (z_a, z_b)])
    expected, expected_gradients = value_and_gradient(z_a, z_b)
    for name in VICRegTerms._fields:
        one, other = two_replicas.experimental_local_results(getattr(terms, name))
        assert float(one) == float(other)
        # Sums over two halves instead of one whole, in float32.
        assert relative_distance(one, getattr(expected, name)) < 1e-5
    for gradient, whole in zip(gradients, expected_gradients, strict=True):
        rows = np.concatenate([part.numpy() for part in two_replicas.experimental_local_results(gradient)])
        assert relative_distance(rows, whole) < 1e-5


def test_two_replicas_equal_the_authors_two_processes(golden, two_replicas):
    """Their loss is each worker's own in the invariance term, their gradient the worker's own times two."""
    with np.load(golden / "vicreg.npz") as record:
        halves = [(record["0/z1"][rows], record["0/z2"][rows]) for rows in (slice(0, 16), slice(16, 32))]
        losses = [float(record[f"workers/{rank}/loss"]) for rank in (0, 1)]
        expected = [(record[f"workers/{rank}/dz1"], record[f"workers/{rank}/dz2"]) for rank in (0, 1)]

    @tf.function
    def step(a, b):
        with tf.GradientTape() as tape:
            tape.watch([a, b])
            # The gradient of the sum of two equal losses is twice the true one.
            total = vicreg_loss(a, b).total
        return total, tape.gradient(total, [a, b])

    total, gradients = two_replicas.run(
        step, args=[split_over(two_replicas, part) for part in zip(*halves, strict=True)]
    )
    assert float(two_replicas.experimental_local_results(total)[0]) == pytest.approx(np.mean(losses), rel=1e-5)
    for number, gradient in enumerate(gradients):
        for rank, part in enumerate(two_replicas.experimental_local_results(gradient)):
            assert relative_distance(part, expected[rank][number]) < 1e-4


def test_four_views_are_measured_pair_by_pair():
    z = [view for seed in (0, 1) for view in views(8, 5, seed)]
    terms = bind("vicreg").compute([ViewEmbeddings(tf.constant(view)) for view in z])
    expected = np.mean([oracle(z[i], z[j]) for i in range(4) for j in range(i)], axis=0)
    np.testing.assert_allclose([terms[name] for name in ("total", *TERMS)], expected, rtol=1e-4)


def test_wrong_embeddings_are_errors():
    for shapes in (([4, 3], [4, 2]), ([4, 3, 1], [4, 3, 1]), ([1, 3], [1, 3])):
        with pytest.raises(ValueError, match="Invalid .* received .* expected"):
            vicreg_loss(*map(tf.zeros, shapes))
