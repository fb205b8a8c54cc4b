import numpy as np
import pytest
import tensorflow as tf

from barlowtf.config import load_recipe
from barlowtf.losses import LossTerms, barlow_twins_loss, cheaper_form

FORMS = ["correlation", "gram"]


def value_and_gradient(z_a, z_b, **arguments):
    z_a, z_b = tf.convert_to_tensor(z_a), tf.convert_to_tensor(z_b)
    with tf.GradientTape() as tape:
        tape.watch([z_a, z_b])
        terms = barlow_twins_loss(z_a, z_b, **arguments)
    return terms, tape.gradient(terms.total, [z_a, z_b])


def oracle(z_a, z_b, lambd=0.0051, epsilon=1e-5):
    """The paper's pseudocode in float64, with the D x D matrix written out."""
    a, b = ((z - z.mean(0)) / np.sqrt(z.var(0) + epsilon) for z in (z_a.astype("f8"), z_b.astype("f8")))
    c = a.T @ b / len(a)
    invariance = ((1 - np.diag(c)) ** 2).sum()
    redundancy = (c[~np.eye(len(c), dtype=bool)] ** 2).sum()
    return invariance + lambd * redundancy, invariance, redundancy


def oracle_gradient(z_a, z_b, entries, step=1e-5, **arguments):
    """Central differences of the oracle's total by the chosen entries (row, column) of z_a."""
    slopes = []
    for row, column in entries:
        high, low = z_a.astype("f8"), z_a.astype("f8")
        high[row, column] += step
        low[row, column] -= step
        slopes.append((oracle(high, z_b, **arguments)[0] - oracle(low, z_b, **arguments)[0]) / (2 * step))
    return np.array(slopes)


def views(examples, dimensions, seed=0):
    """Two correlated views whose dimensions have different means and scales."""
    random = np.random.default_rng(seed)
    common = random.standard_normal((examples, dimensions))
    scale, shift = random.uniform(0.1, 3.0, dimensions), random.uniform(-5.0, 5.0, dimensions)
    pair = [common + 0.5 * random.standard_normal(common.shape) for _ in range(2)]
    return [(z * scale + shift).astype("f4") for z in pair]


def relative_distance(value, expected):
    value, expected = np.asarray(value, "f8"), np.asarray(expected, "f8")
    return np.linalg.norm(value - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("form", [*FORMS, "auto"])
@pytest.mark.parametrize("case", [0, 1, 2])
def test_equals_the_authors_code(golden, case, form):
    with np.load(golden / "loss.npz") as record:
        terms, gradients = value_and_gradient(record[f"{case}/z1"], record[f"{case}/z2"], form=form)
        # The authors' own float32 is within 1e-6 of float64; sums of N * D products add about as much here.
        assert relative_distance(terms.total, record[f"{case}/loss"]) < 1e-5
        assert relative_distance(gradients[0], record[f"{case}/dz1"]) < 1e-5
        assert relative_distance(gradients[1], record[f"{case}/dz2"]) < 1e-5


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", [0, 1, 2])
def test_a_tenth_equals_solo_learn(golden, case, form):
    """Its scale_loss is the recipe's gradient_scale; the rest are the defaults of the recipe cifar10."""
    recipe = load_recipe("cifar10")
    scale, lambd = recipe.optimizer.gradient_scale, recipe.loss.settings["lambd"]
    with np.load(golden / "barlow_solo.npz") as record:
        terms, gradients = value_and_gradient(record[f"{case}/z1"], record[f"{case}/z2"], lambd=lambd, form=form)
        # float32 against float64, as above.
        assert relative_distance(scale * terms.total, record[f"{case}/loss"]) < 1e-5
        assert relative_distance(scale * gradients[0], record[f"{case}/dz1"]) < 1e-5
        assert relative_distance(scale * gradients[1], record[f"{case}/dz2"]) < 1e-5


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("examples", "dimensions"), [(2, 3), (16, 64), (64, 16)])
def test_terms_equal_the_oracle(examples, dimensions, form):
    z_a, z_b = views(examples, dimensions)
    terms = barlow_twins_loss(z_a, z_b, lambd=0.02, form=form)
    # float32 sums of up to 64 * 64 products, the means up to 50 times the standard deviation.
    np.testing.assert_allclose([float(term) for term in terms], oracle(z_a, z_b, lambd=0.02), rtol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_gradient_equals_differences_of_the_oracle(form):
    z_a, z_b = views(6, 5)
    _, (by_a, by_b) = value_and_gradient(z_a, z_b, lambd=0.3, form=form)
    entries = [(0, 0), (3, 1), (5, 4), (2, 2)]
    expected = oracle_gradient(z_a, z_b, entries, lambd=0.3)
    # Central differences in float64 are good to 1e-8; the rest is the float32 of the gradient.
    np.testing.assert_allclose([by_a[entry] for entry in entries], expected, rtol=1e-4, atol=1e-5)
    # The loss is symmetric in its views: C becomes its transpose.
    expected = oracle_gradient(z_b, z_a, entries, lambd=0.3)
    np.testing.assert_allclose([by_b[entry] for entry in entries], expected, rtol=1e-4, atol=1e-5)


def test_each_term_has_its_own_gradient():
    z_a, z_b = (tf.constant(z) for z in views(8, 12))
    for name in ("invariance", "redundancy"):
        gradients = []
        for form in FORMS:
            with tf.GradientTape() as tape:
                tape.watch(z_a)
                term = getattr(barlow_twins_loss(z_a, z_b, form=form), name)
            gradients.append(tape.gradient(term, z_a))
        # Two orders of float32 sums.
        assert relative_distance(*gradients) < 1e-5


@pytest.mark.parametrize(("examples", "dimensions"), [(16, 128), (128, 16), (48, 48)])
def test_both_forms_agree(examples, dimensions):
    z_a, z_b = views(examples, dimensions, seed=3)
    (one, one_gradients), (other, other_gradients) = (value_and_gradient(z_a, z_b, form=form) for form in FORMS)
    # Both are float32 sums of N * D products; in different orders.
    assert relative_distance(one.total, other.total) < 1e-5
    assert relative_distance(one_gradients, other_gradients) < 1e-5


def test_equal_views_have_no_invariance_and_scale_does_not_matter():
    z, _ = views(32, 8)
    terms = barlow_twins_loss(z, z)
    # C_ii = var / (var + epsilon): off 1 by at most 1e-5 / 0.01.
    assert float(terms.invariance) < 1e-5
    assert float(terms.total) == pytest.approx(0.0051 * float(terms.redundancy), abs=1e-5)
    other = barlow_twins_loss(100 * z + 7, z)
    # The epsilon of 1e-5 weighs less beside a larger variance.
    assert float(other.total) == pytest.approx(float(terms.total), rel=1e-3)


@pytest.mark.parametrize("form", FORMS)
def test_constant_dimensions_give_finite_gradients(form):
    z = np.zeros((4, 6), np.float32)
    terms, gradients = value_and_gradient(z, z, form=form)
    assert float(terms.total) == 6.0
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


@pytest.mark.parametrize("form", FORMS)
def test_bfloat16_embeddings_are_measured_in_float32(form):
    z_a, z_b = (tf.cast(z, tf.bfloat16) for z in views(16, 24))
    terms, gradients = value_and_gradient(z_a, z_b, form=form)
    exact, exact_gradients = value_and_gradient(tf.cast(z_a, tf.float32), tf.cast(z_b, tf.float32), form=form)
    assert terms.total.dtype == tf.float32
    assert float(terms.total) == float(exact.total)
    assert [gradient.dtype for gradient in gradients] == [tf.bfloat16] * 2
    np.testing.assert_array_equal(gradients[0], tf.cast(exact_gradients[0], tf.bfloat16))


@pytest.mark.parametrize("form", FORMS)
def test_compiles_with_xla(form):
    z_a, z_b = views(16, 24)
    compiled = tf.function(lambda a, b: value_and_gradient(a, b, form=form), jit_compile=True)
    terms, gradients = compiled(tf.constant(z_a), tf.constant(z_b))
    expected, expected_gradients = value_and_gradient(z_a, z_b, form=form)
    # XLA sums in another order.
    assert relative_distance(terms.total, expected.total) < 1e-5
    assert relative_distance(gradients, expected_gradients) < 1e-5


@pytest.mark.parametrize("form", [*FORMS, "auto"])
def test_a_batch_known_only_when_running(form):
    @tf.function(input_signature=[tf.TensorSpec([None, 24]), tf.TensorSpec([None, 24])])
    def unknown(z_a, z_b):
        return value_and_gradient(z_a, z_b, form=form)

    z_a, z_b = views(16, 24)
    terms, gradients = unknown(z_a, z_b)
    expected, expected_gradients = value_and_gradient(z_a, z_b, form=form)
    # The same float32 sums, perhaps in another order.
    assert relative_distance(terms.total, expected.total) < 1e-5
    assert relative_distance(gradients, expected_gradients) < 1e-5
    with pytest.raises(tf.errors.InvalidArgumentError, match="at least 2"):
        unknown(z_a[:1], z_b[:1])
    with pytest.raises(tf.errors.InvalidArgumentError, match="equal shapes"):
        unknown(z_a, z_b[:8])
    # Nor is a rank that is not known taken for 2.
    any_shape = tf.function(lambda z: value_and_gradient(z_a, z, form=form), input_signature=[tf.TensorSpec(None)])
    with pytest.raises(ValueError, match="received shapes \\(16, 24\\) and <unknown>, expected two equal shapes"):
        any_shape(z_b)


@pytest.mark.parametrize("form", [*FORMS, "auto"])
def test_two_replicas_equal_one(two_replicas, form):
    z_a, z_b = views(16, 24, seed=5)
    halves = [[tf.constant(z[:8]), tf.constant(z[8:])] for z in (z_a, z_b)]

    @tf.function
    def step(a, b):
        with tf.GradientTape() as tape:
            tape.watch([a, b])
            terms = barlow_twins_loss(a, b, lambd=0.1, form=form)
            share = terms.total / 2
        return terms, tape.gradient(share, [a, b])

    def shared(pair):
        return two_replicas.experimental_distribute_values_from_function(
            lambda context: pair[context.replica_id_in_sync_group]
        )

    terms, gradients = two_replicas.run(step, args=[shared(pair) for pair in halves])
    expected, expected_gradients = value_and_gradient(z_a, z_b, lambd=0.1, form=form)
    for name in LossTerms._fields:
        one, other = two_replicas.experimental_local_results(getattr(terms, name))
        assert float(one) == float(other)
        # Sums over two halves instead of one whole, in float32.
        assert relative_distance(one, getattr(expected, name)) < 1e-5
    for gradient, whole in zip(gradients, expected_gradients, strict=True):
        rows = np.concatenate([part.numpy() for part in two_replicas.experimental_local_results(gradient)])
        assert relative_distance(rows, whole) < 1e-5


def test_auto_takes_the_cheaper_form():
    assert cheaper_form(256, 8192) == "gram"
    assert cheaper_form(2048, 8192) == "gram"
    assert cheaper_form(5792, 8192) == "gram"
    assert cheaper_form(5793, 8192) == "correlation"
    assert cheaper_form(4096, 2048) == "correlation"
    assert cheaper_form(None, 8192) == cheaper_form(64, None) == "gram"


@pytest.mark.parametrize(
    ("shapes", "arguments"),
    [
        (([4, 3], [4, 2]), {}),
        (([4, 3], [5, 3]), {}),
        (([4, 3, 1], [4, 3, 1]), {}),
        (([1, 3], [1, 3]), {}),
        (([4, 3], [4, 3]), {"form": "diagonal"}),
        (([4, 3], [4, 3]), {"lambd": -0.1}),
        (([4, 3], [4, 3]), {"lambd": float("nan")}),
    ],
)
def test_wrong_arguments_are_errors(shapes, arguments):
    with pytest.raises(ValueError, match="Invalid .* received .* expected"):
        barlow_twins_loss(tf.zeros(shapes[0]), tf.zeros(shapes[1]), **arguments)
