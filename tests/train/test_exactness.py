"""The compiled training step gives the same numbers on one replica, on mirrored replicas and on worker processes.

Each replica has its own share of the batch, and the shares differ in brightness and contrast. Five LARS steps; loss,
every gradient, weights and running statistics. The encoder is shallow, see benchmarks/five_steps.py; a ResNet-18 was
measured in benchmarks/results/exactness.json.
"""

from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.distribute import make_strategy

FORMS = ("gram", "correlation")
ENCODER = "two_blocks"


@pytest.fixture(scope="module")
def exactness():
    """A module of the benchmarks, which are no installed package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2]))
        yield import_module("benchmarks.exactness")


@pytest.fixture(scope="module")
def five_steps(exactness):
    return exactness.five_steps


@pytest.fixture(scope="module", autouse=True)
def elsewhere(exactness, tmp_path_factory):
    """What other processes compute while this one goes on: futures of four mirrored replicas and of two workers."""
    folder = tmp_path_factory.mktemp("exactness")
    with ThreadPoolExecutor(1) as pool:  # One after the other, beside this process: two cores.
        yield {
            # One form: four replicas take longest to trace, and the benchmark has both.
            "mirrored4": pool.submit(exactness.run_process, ["mirrored4"], ["gram"], ENCODER, folder, threads=1),
            "workers2": pool.submit(exactness.run_workers, FORMS, ENCODER, folder),
        }


@pytest.fixture(scope="module")
def one(five_steps):
    """Five steps on one replica, by form."""
    return {form: five_steps.run(make_strategy("one"), form, encoder=ENCODER) for form in FORMS}


@pytest.fixture
def assert_equal(exactness):
    """Compares with one replica to the 1e-5 that is asked for: of gradients in all five steps, and of the rest."""

    def check(arrays, reference):
        assert arrays.keys() == reference.keys()
        for kind, found in exactness.compare(arrays, reference).items():
            assert found["largest"] <= 1e-5, f"{kind}: {found}"

    return check


def test_the_shares_and_the_batches_differ(five_steps):
    """Else the statistics of a replica's own share would do."""
    batches = [np.stack(five_steps.make_batch(seed)) for seed in five_steps.SEEDS[ENCODER]]  # [2, N, H, W, C] each
    for batch in batches:
        first, second = np.split(batch, 2, axis=1)
        assert second.mean() - first.mean() > 0.3
        assert second.std() / first.std() > 1.1
    assert len({batch.tobytes() for batch in batches}) == five_steps.STEPS


def test_the_steps_move_every_weight(exactness, five_steps, one):
    """What stays where it was is equal anywhere."""
    for variable in five_steps.make_model(ENCODER, "gram", "float32").weights:
        kind = "weights" if variable.trainable else "statistics"
        end = one["gram"].arrays[f"{kind}/{variable.path}"]
        # 1e-5 of a weight is 1/30 of its way by LARS; gradients and biases are the sharper test.
        assert exactness.relative_difference(variable.numpy(), end) > 1e-4, variable.path


@pytest.mark.parametrize("form", FORMS)
def test_two_mirrored_replicas_equal_one(five_steps, two_replicas, one, assert_equal, form):
    assert two_replicas.num_replicas_in_sync == 2
    assert_equal(five_steps.run(two_replicas, form, encoder=ENCODER).arrays, one[form].arrays)


def test_four_mirrored_replicas_equal_one(exactness, elsewhere, one, assert_equal):
    assert_equal(exactness.part(elsewhere["mirrored4"].result(), "mirrored4", "gram"), one["gram"].arrays)


@pytest.mark.parametrize("form", FORMS)
def test_two_workers_over_grpc_equal_one(exactness, elsewhere, one, assert_equal, form):
    assert_equal(exactness.part(elsewhere["workers2"].result()[0], "workers2", form), one[form].arrays)


@pytest.fixture
def exchanged(elsewhere):
    """What a worker's step exchanges, by form."""
    return elsewhere["workers2"].result()[1]


def collectives_of(described, purpose):
    return [(c["op"], c["shape"], c["operations"]) for c in described["collectives"] if c["purpose"] == purpose]


def test_gram_form_gathers_each_view_once(five_steps, exchanged):
    share = [five_steps.EXAMPLES // 2, five_steps.WIDTHS[-1]]  # [n, D]
    assert collectives_of(exchanged["gram"], "embeddings") == [("CollectiveGatherV2", share, 2)]
    assert collectives_of(exchanged["gram"], "matrix") == []


def test_correlation_form_reduces_one_matrix(five_steps, exchanged):
    square = [five_steps.WIDTHS[-1]] * 2  # [D, D]
    assert collectives_of(exchanged["correlation"], "matrix") == [("CollectiveReduceV2", square, 1)]
    assert collectives_of(exchanged["correlation"], "embeddings") == []


def test_gram_form_makes_no_square_matrix(exactness, five_steps, exchanged, one):
    """Neither [D, D] nor, because each replica makes its own rows, [N, N]; where there are such, they are found."""
    assert exchanged["gram"]["tensors_of_shape_d_d"] == []
    assert exchanged["gram"]["tensors_of_shape_n_n"] == []
    assert exchanged["correlation"]["tensors_of_shape_d_d"]
    on_one = exactness.collectives.square_matrices(one["gram"].graph, five_steps.EXAMPLES)
    assert any("einsum" in name for name in on_one)


@pytest.mark.parametrize("form", FORMS)
def test_bytes_of_the_graph_are_those_of_the_formulas(exactness, exchanged, form):
    received = exchanged[form]["received_bytes_by_graph"]
    for purpose, value in exchanged[form]["received_bytes_by_formula"].items():
        assert received[purpose] == value, purpose
    assert exactness.collectives.is_as_said(exchanged[form], form)


def test_a_matrix_of_unknown_shape_counts(exactness):
    @tf.function(input_signature=[tf.TensorSpec([None, 80]), tf.TensorSpec([None, 40])])
    def unknown(x, y):
        return tf.nn.relu(x), tf.nn.relu(y)

    found = exactness.collectives.square_matrices(unknown.get_concrete_function().graph, 80)
    assert "Relu:0" in found
    assert "Relu_1:0" not in found
