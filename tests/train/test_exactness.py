"""The compiled training step gives the same numbers on one replica, on mirrored replicas and on worker processes.

Each replica has its own share of the batch, and the shares differ in brightness and contrast. Five LARS steps; loss,
every gradient, weights and running statistics. The case is made so that a tolerance of 1e-5 measures the code and not
how the network amplifies roundings:

1. The encoder is shallow: tracing the step of four replicas of a ResNet-18 takes a core 50 seconds. ResNet-18 on random
   batches: benchmarks/results/exactness.json.
2. Gamma at the end of a residual branch is 0.05 to 0.15. A recipe starts it at 0, which hides the branch's gradients;
   around 1 the normalizations in a row amplify roundings.
3. No ReLU has an input within `MARGIN` of 0, where a gradient jumps: of the batches with seeds from 1000 times the
   step's number the first such is taken, and a test checks it.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.distribute import make_strategy
from benchmarks import collectives, compared_steps, exactness

FORMS = ("gram", "correlation")
SEEDS = (4, 1001, 2016, 3002, 4005)
MARGIN = 1e-5


@pytest.fixture(scope="module")
def case():
    """Five steps from first weights that are each of their own value."""
    r = np.random.default_rng(0)
    start = tuple(_first_value(r, variable) for variable in compared_steps.make_model("two_blocks").weights)
    return compared_steps.Case("two_blocks", (SEEDS,), start)


def _first_value(r, variable):
    layer, name = variable.path.split("/")[-2:]
    if name == "kernel":
        value = r.standard_normal(variable.shape) * np.sqrt(2 / np.prod(variable.shape[:-1]))
    elif name == "gamma":
        ends_branch = layer.startswith("layer") and layer.endswith("bn2")
        value = r.uniform(0.5, 1.5, variable.shape) * (0.1 if ends_branch else 1.0)
    elif name == "beta":
        value = 0.1 * r.standard_normal(variable.shape)
    else:
        value = np.full(variable.shape, {"moving_mean": 0.0, "moving_variance": 1.0}[name])
    return np.float32(value)


@pytest.fixture(scope="module")
def elsewhere(case, tmp_path_factory):
    """What other processes compute while this one goes on: futures of four mirrored replicas and of two workers."""
    folder = tmp_path_factory.mktemp("exactness")
    with ThreadPoolExecutor(1) as pool:  # One after the other, beside this process: two cores.
        yield {
            # One form: four replicas take longest to trace, and the benchmark has both.
            "mirrored4": pool.submit(exactness.run_process, ["mirrored4"], ["gram"], case, folder, threads=1),
            "workers2": pool.submit(exactness.run_workers, FORMS, case, folder),
        }


@pytest.fixture(scope="module")
def one(case):
    """The steps on one replica, by form."""
    return {form: compared_steps.run(make_strategy("one"), case, form) for form in FORMS}


def assert_equal(arrays, reference):
    """Compares with one replica to the target of 1e-5: of gradients in all five steps, and of the rest."""
    assert arrays.keys() == reference.keys()
    for kind, found in exactness.compare(arrays, reference).items():
        assert found["maximum"] <= 1e-5, f"{kind}: {found}"


def test_the_shares_and_the_batches_differ():
    """Else the statistics of a replica's own share would do."""
    batches = [np.stack(compared_steps.make_batch(seed)) for seed in SEEDS]  # [2, N, H, W, C] each
    for batch in batches:
        first, second = np.split(batch, 2, axis=1)
        assert second.mean() - first.mean() > 0.3
        assert second.std() / first.std() > 1.1
    assert len({batch.tobytes() for batch in batches}) == len(SEEDS) == 5


def test_no_input_of_a_relu_is_near_zero(case):
    margins = compared_steps.smallest_relu_inputs(case)
    assert tuple(margins) == SEEDS
    assert min(margins.values()) >= MARGIN


def test_the_steps_move_every_weight(case, one):
    """What stays where it was is equal anywhere."""
    for variable, start in zip(compared_steps.make_model("two_blocks").weights, case.start, strict=True):
        kind = "weights" if variable.trainable else "statistics"
        end = one["gram"].arrays[f"{kind}/0/{variable.path}"]
        # 1e-5 of a weight is 1/30 of its way by LARS; gradients and biases are the sharper test.
        assert exactness.relative_difference(start, end) > 1e-4, variable.path


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_two_mirrored_replicas_equal_one(case, two_replicas, one, form):
    assert two_replicas.num_replicas_in_sync == 2
    assert_equal(compared_steps.run(two_replicas, case, form).arrays, one[form].arrays)


@pytest.mark.slow
def test_four_mirrored_replicas_equal_one(elsewhere, one):
    assert_equal(exactness.part(elsewhere["mirrored4"].result(), "mirrored4", "gram"), one["gram"].arrays)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_two_workers_over_grpc_equal_one(elsewhere, one, form):
    assert_equal(exactness.part(elsewhere["workers2"].result()[0], "workers2", form), one[form].arrays)


@pytest.fixture
def exchanged(elsewhere):
    """What a worker's step exchanges, by form."""
    return elsewhere["workers2"].result()[1]


def collectives_of(described, purpose):
    return [(c["op"], c["shape"], c["operations"]) for c in described["collectives"] if c["purpose"] == purpose]


@pytest.mark.slow
def test_gram_form_gathers_each_view_once(exchanged):
    share = [compared_steps.EXAMPLES // 2, compared_steps.WIDTHS[-1]]  # [n, D]
    assert collectives_of(exchanged["gram"], "embeddings") == [("CollectiveGatherV2", share, 2)]
    assert collectives_of(exchanged["gram"], "matrix") == []


@pytest.mark.slow
def test_correlation_form_reduces_one_matrix(exchanged):
    square = [compared_steps.WIDTHS[-1]] * 2  # [D, D]
    assert collectives_of(exchanged["correlation"], "matrix") == [("CollectiveReduceV2", square, 1)]
    assert collectives_of(exchanged["correlation"], "embeddings") == []


@pytest.mark.slow
def test_gram_form_makes_no_square_matrix(exchanged, one):
    """Neither [D, D] nor, because each replica makes its own rows, [N, N]; where there are such, they are found."""
    assert exchanged["gram"]["tensors_of_shape_d_d"] == []
    assert exchanged["gram"]["tensors_of_shape_n_n"] == []
    assert exchanged["correlation"]["tensors_of_shape_d_d"]
    on_one = collectives.square_matrices(one["gram"].graph, compared_steps.EXAMPLES)
    assert any("einsum" in name for name in on_one)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_bytes_of_the_graph_are_those_of_the_formulas(exchanged, form):
    received = exchanged[form]["received_bytes_by_graph"]
    for purpose, value in exchanged[form]["received_bytes_by_formula"].items():
        assert received[purpose] == value, purpose
    assert collectives.is_as_said(exchanged[form], form)


def test_a_matrix_of_unknown_shape_counts():
    @tf.function(input_signature=[tf.TensorSpec([None, 80]), tf.TensorSpec([None, 40])])
    def unknown(x, y):
        return tf.nn.relu(x), tf.nn.relu(y)

    found = collectives.square_matrices(unknown.get_concrete_function().graph, 80)
    assert "Relu:0" in found
    assert "Relu_1:0" not in found
