"""Gradients are a tape's, and their sums have no more than two terms."""

from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.models.gradient_tape import gradient_tape
from barlowtf.train.pairs import pairs_kept


@pytest.fixture(scope="module")
def weights():
    return keras.Variable(np.float32([[1.0, -2.0], [0.5, 3.0]])), keras.Variable(0.0)


def gradients(x, weights, output_gradients=None):
    """Gradients by a tensor that four operations use, by a variable, and by one that is not used."""
    with gradient_tape(x) as tape:
        y = tf.tanh(x) + tf.square(x) + tf.exp(-x) + tf.matmul(x, weights[0])
    return tape.gradient(y, {"x": x, "variables": weights}, output_gradients=output_gradients)


@pytest.mark.parametrize("given", [False, True])
def test_a_traced_function_has_the_gradients_of_a_tape(weights, given):
    x = tf.constant(np.random.default_rng(0).normal(size=(3, 2)), tf.float32)
    weighted = tf.constant(np.random.default_rng(1).normal(size=(3, 2)), tf.float32) if given else None
    eager = gradients(x, weights, weighted)
    unused = []

    @tf.function
    def traced():
        found = gradients(x, weights, weighted)
        unused.append(found["variables"][1])
        return found["x"], found["variables"][0]

    # Another order of the same sums, float32.
    for one, other in zip(traced(), (eager["x"], eager["variables"][0]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    assert eager["variables"][1] is None and unused == [None]


def sums(folder, x, weights):
    """Number of AddN by number of terms, in the graphs that ran."""
    function = tf.function(lambda x: gradients(x, weights)["x"])
    writer = tf.summary.create_file_writer(str(folder))
    tf.summary.trace_on(graph=True)
    function(x)
    with writer.as_default():
        tf.summary.trace_export("step", step=0)
    writer.close()
    (file,) = folder.iterdir()
    found = Counter()
    for event in tf.compat.v1.train.summary_iterator(str(file)):
        for value in event.summary.value:
            for text in value.tensor.string_val:
                metadata = tf.compat.v1.RunMetadata.FromString(text)
                for graphs in metadata.function_graphs:
                    graph = graphs.post_optimization_graph
                    nodes = [*graph.node, *(node for part in graph.library.function for node in part.node_def)]
                    found.update(
                        sum(not name.startswith("^") for name in node.input) for node in nodes if node.op == "AddN"
                    )
    return found


def test_no_sum_that_runs_has_three_terms(weights, tmp_path):
    x = tf.ones([3, 2])
    with pairs_kept():
        found = sums(tmp_path / "kept", x, weights)
    assert set(found) == {2} and found[2] >= 3
    # Without the context TensorFlow joins them: the test sees such sums where there are some.
    assert max(sums(tmp_path / "joined", x, weights)) > 2


def test_the_option_comes_back():
    before = tf.config.optimizer.get_experimental_options().get("arithmetic_optimization", True)
    with pytest.raises(KeyError), pairs_kept():
        assert tf.config.optimizer.get_experimental_options()["arithmetic_optimization"] is False
        raise KeyError
    assert tf.config.optimizer.get_experimental_options()["arithmetic_optimization"] is before
