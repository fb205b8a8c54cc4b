"""Mixed Barlow Twins against the authors' recorded numbers, a NumPy oracle, replicas and XLA."""

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.config import load_recipe
from barlowtf.encoders.building import build_model
from barlowtf.errors import ConfigError
from barlowtf.losses import Mixture, ViewEmbeddings, barlow_twins_loss, bind, mean_over_pairs
from barlowtf.losses.mixed_barlow_twins import mixed_barlow_twins_loss, mixture_term

FORMS = ["correlation", "gram"]


def relative_distance(value, expected):
    value, expected = np.asarray(value, "f8"), np.asarray(expected, "f8")
    return np.linalg.norm(value - expected) / np.linalg.norm(expected)


def term_and_gradients(z_a, z_b, z_m, partners, alpha, **options):
    z = [tf.convert_to_tensor(part, tf.float32) for part in (z_a, z_b, z_m)]
    with tf.GradientTape() as tape:
        tape.watch(z)
        term = mixture_term(z[0], z[1], Mixture(z[2], tf.constant(partners, tf.int32), alpha), **options)
    return term, tape.gradient(term, z)


def standard(z, freedom, epsilon):
    z = z.astype("f8")
    return (z - z.mean(0)) / np.sqrt(z.var(0, ddof=freedom) + epsilon)


def oracle(z_a, z_b, z_m, partners, alpha, freedom=0, epsilon=1e-5, second_of="a"):
    """Half the sum of the two squared differences, in float64, with every D x D matrix written out."""
    a, b, m = (standard(z, freedom, epsilon) for z in (z_a, z_b, z_m))
    first = m.T @ a - (alpha * a.T @ a + (1 - alpha) * b[partners].T @ a)
    own = {"a": a, "b": b}[second_of]
    second = m.T @ b - (alpha * own.T @ b + (1 - alpha) * b[partners].T @ b)
    return ((first**2).sum() + (second**2).sum()) / len(a) ** 2 / 2


def views(examples, dimensions, seed=0):
    r = np.random.default_rng(seed)
    common = r.standard_normal((examples, dimensions))
    scale, shift = r.uniform(0.1, 3.0, dimensions), r.uniform(-5.0, 5.0, dimensions)
    z_a, z_b = ((common + 0.5 * r.standard_normal(common.shape)) * scale + shift for _ in range(2))
    partners, alpha = np.arange(examples) ^ 1, float(r.random())
    z_m = alpha * z_a + (1 - alpha) * z_b[partners] + 0.3 * r.standard_normal(common.shape)
    return [*(np.float32(z) for z in (z_a, z_b, z_m)), partners, alpha]


# The authors standardize by the variance over N - 1, without an epsilon: each of the two factors of a correlation is
# sqrt((N - 1) / N) of ours, and the term ((N - 1) / N)^2.
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", [0, 1, 2])
def test_equals_the_authors_code_for_cifar(golden, case, form):
    with np.load(golden / "mixed_bt.npz") as record:
        inputs = [record[f"{case}/{name}"] for name in ("z1", "z2", "zm", "index", "alpha")]
        term, gradients = term_and_gradients(*inputs, form=form, epsilon=1e-12)
        examples = len(inputs[0])
        scale = 2 * float(record["cifar_mixup_loss_scale"]) * float(record["cifar_lmbda"])
        scale *= ((examples - 1) / examples) ** 2
        assert relative_distance(scale * term, record[f"{case}/cifar/loss_mix"]) < 1e-5
        for gradient, name in zip(gradients, ("dz1", "dz2", "dzm"), strict=True):
            assert relative_distance(scale * gradient, record[f"{case}/cifar/mix_{name}"]) < 1e-4


@pytest.mark.parametrize("case", [0, 1, 2])
def test_the_authors_scripts_differ_in_the_second_target(golden, case):
    """Which of their terms is ours: for ImageNet they take view b where the paper and the other script have view a."""
    with np.load(golden / "mixed_bt.npz") as record:
        inputs = [record[f"{case}/{name}"] for name in ("z1", "z2", "zm", "index", "alpha")]
        options = {"freedom": 1, "epsilon": 0.0}
        cifar = 8 * record["cifar_lmbda"] * oracle(*inputs, **options)
        imagenet = record["imagenet_lambd"] * oracle(*inputs, **options, second_of="b")
        assert cifar == pytest.approx(float(record[f"{case}/cifar/loss_mix"]), rel=1e-9)
        assert imagenet == pytest.approx(float(record[f"{case}/imagenet/loss_mix"]), rel=1e-9)


@pytest.mark.parametrize("form", [*FORMS, "auto"])
@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (24, 24)])
def test_equals_the_oracle(shape, form):
    inputs = views(*shape)
    term, gradients = term_and_gradients(*inputs, form=form)
    # float32 sums of up to 40 * 80 products.
    assert float(term) == pytest.approx(oracle(*inputs), rel=1e-5)
    for number, gradient in enumerate(gradients):
        for row, column in [(0, 0), (3, 1), (5, 4)]:
            values = []
            for step in (1e-5, -1e-5):
                moved = [z.astype("f8") for z in inputs[:3]]
                moved[number][row, column] += step
                values.append(oracle(*moved, *inputs[3:]))
            # Central differences are good to 1e-8; the rest is the float32 of the gradient.
            expected = (values[0] - values[1]) / 2e-5
            assert float(gradient[row, column]) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_perfect_mixtures_have_no_term():
    z_a, z_b, _, partners, _ = views(16, 8)
    # Alpha 1 mixes nothing in, and the mixture is view a itself.
    term, gradients = term_and_gradients(z_a, z_b, z_a, partners, 1.0)
    assert float(term) == pytest.approx(0.0, abs=1e-9)
    assert float(term_and_gradients(z_a, z_b, z_a, partners, 0.5)[0]) > 0.1
    assert np.abs(gradients[2]).max() < 1e-5


def test_total_and_names():
    z_a, z_b, z_m, partners, alpha = views(16, 8)
    mixture = Mixture(tf.constant(z_m), tf.constant(partners, tf.int32), tf.constant(alpha))
    terms = mixed_barlow_twins_loss(z_a, z_b, mixture, lambd=0.01, mix=3.0)
    plain = barlow_twins_loss(z_a, z_b, lambd=0.01)
    assert float(terms.total) == pytest.approx(float(plain.total) + 0.03 * float(terms.mixture), rel=1e-6)
    usual = mixed_barlow_twins_loss(z_a, z_b, mixture, lambd=0.01)
    assert float(usual.total) == pytest.approx(float(plain.total) + 0.01 * float(terms.mixture), rel=1e-6)
    bound = bind("mixed_barlow_twins", {"lambd": 0.01, "mix": 3.0})
    assert bound.terms == ("invariance", "redundancy", "mixture") and bound.parts.mixture
    computed = bound.compute([ViewEmbeddings(tf.constant(z_a), mixture=mixture), ViewEmbeddings(tf.constant(z_b))])
    for name, value in computed.items():
        assert float(value) == float(getattr(terms, name))
    with pytest.raises(ValueError, match="Invalid views: received none with a mixture"):
        bound.compute([ViewEmbeddings(tf.constant(z)) for z in (z_a, z_b)])
    with pytest.raises(ConfigError, match=r"loss\.mix: received 0\.0, expected a number greater than 0"):
        bind("mixed_barlow_twins", {"mix": 0.0})


def test_several_pairs_mix_each_with_its_own():
    pairs = [views(12, 5, seed) for seed in range(2)]
    mixtures = [Mixture(tf.constant(z_m), tf.constant(p, tf.int32), tf.constant(alpha)) for *_, z_m, p, alpha in pairs]
    side_a = [ViewEmbeddings(tf.constant(pair[0]), mixture=m) for pair, m in zip(pairs, mixtures, strict=True)]
    side_b = [ViewEmbeddings(tf.constant(pair[1])) for pair in pairs]
    local = [ViewEmbeddings(tf.constant(views(12, 5, 9)[0]), local=True)]
    computed = bind("mixed_barlow_twins").compute([*side_a, *side_b, *local])
    assert float(computed["mixture"]) == pytest.approx(np.mean([oracle(*pair) for pair in pairs]), rel=1e-5)
    twins = mean_over_pairs(lambda a, b: barlow_twins_loss(a.z, b.z)._asdict(), [*side_a, *side_b, *local])
    assert float(computed["redundancy"]) == float(twins["redundancy"])


@pytest.mark.parametrize("shape", [(16, 24), (24, 16)])
def test_compiles_with_xla(shape):
    z_a, z_b, z_m, partners, alpha = views(*shape)
    arrays = [tf.constant(z) for z in (z_a, z_b, z_m)]
    compiled = tf.function(lambda a, b, m: term_and_gradients(a, b, m, partners, alpha), jit_compile=True)
    (term, gradients), (expected, expected_gradients) = compiled(*arrays), term_and_gradients(*arrays, partners, alpha)
    # float32 sums in another order.
    assert relative_distance(term, expected) < 1e-5
    for gradient, other in zip(gradients, expected_gradients, strict=True):
        assert relative_distance(gradient, other) < 1e-4


@pytest.mark.parametrize("shape", [(16, 24), (24, 16)])
def test_two_replicas_equal_one(two_replicas, shape):
    z_a, z_b, z_m, partners, alpha = views(*shape, seed=5)
    half = shape[0] // 2

    def shares(values):
        return two_replicas.experimental_distribute_values_from_function(
            lambda context: tf.constant(np.split(values, 2)[context.replica_id_in_sync_group])
        )

    @tf.function
    def step(*z):
        with tf.GradientTape() as tape:
            tape.watch(z)
            mixture = Mixture(z[2], tf.constant(partners[:half], tf.int32), alpha)
            total = mixed_barlow_twins_loss(z[0], z[1], mixture, mix=100.0).total
            share = total / 2
        return total, tape.gradient(share, z)

    totals, gradients = two_replicas.run(step, args=[shares(z) for z in (z_a, z_b, z_m)])
    with tf.GradientTape() as tape:
        whole = [tf.constant(z) for z in (z_a, z_b, z_m)]
        tape.watch(whole)
        mixture = Mixture(whole[2], tf.constant(partners, tf.int32), alpha)
        expected = mixed_barlow_twins_loss(whole[0], whole[1], mixture, mix=100.0).total
    one, other = two_replicas.experimental_local_results(totals)
    assert float(one) == float(other) == pytest.approx(float(expected), rel=1e-5)
    for gradient, of_one in zip(gradients, tape.gradient(expected, whole), strict=True):
        rows = np.concatenate([part.numpy() for part in two_replicas.experimental_local_results(gradient)])
        # Sums over two halves instead of one whole, in float32.
        assert relative_distance(rows, of_one) < 1e-5


SMALL = ["augment.size=8", "model.encoder=resnet10_w0p0625", "loss.name=mixed_barlow_twins", "loss.mix=2"]


def test_a_recipe_names_it_and_what_it_cannot_do_is_refused():
    model = build_model(load_recipe("digits", SMALL), steps_per_epoch=3)
    assert model.loss_terms == ("invariance", "redundancy", "mixture") and model.seed == 0
    assert "embeddings of mixtures" in model.checked_names
    with pytest.raises(ConfigError, match=r"Invalid train\.micro_batch: received 32, expected none with the loss"):
        build_model(load_recipe("digits", [*SMALL, "train.micro_batch=32"]), steps_per_epoch=3)
    with pytest.raises(ConfigError, match=r"Invalid train\.batch_size: received 63, expected a multiple of 2"):
        build_model(load_recipe("digits", [*SMALL, "train.batch_size=63"]), steps_per_epoch=3)
