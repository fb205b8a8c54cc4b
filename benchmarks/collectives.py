"""What the replicas of a traced training step exchange: read from its graph, and by formula.

Letters: R replicas, N the global batch, n = N / R, D the embedding's width, P trainable weights, C the channels of a
normalization layer. In a ring, a replica receives (and sends as much)

    all-gather of s bytes from each replica    (R - 1) s
    all-reduce of s bytes                      2 (R - 1) / R s

so that a float32 step of two views receives

    embeddings, N×N form: all-gather of [n, D], once for each view    (R - 1) / R · 2 · N · D · 4
    correlation, D×D form: all-reduce of [D, D]                       2 (R - 1) / R · D · D · 4
    gradients: all-reduce of [P]                                      2 (R - 1) / R · P · 4
    statistics: all-gather of [3, C] and, for the gradient, all-reduce of [2, C], for each layer and view
                                                                      2 · Σ C · ((R - 1) · 3 + 2 (R - 1) / R · 2) · 4

and a few vectors [D] and scalars of the loss.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

_FLOAT = 4  # bytes
# TensorFlow enters the collectives of several replicas apart from the step that asked for them: only what they are
# given has been made inside the step.
_STEP, _STATISTICS = "barlowtf/models/barlow_twins.py", "barlowtf/models/normalization.py"
_OPTIMIZER_SCOPE = "lars/"


class Collective(NamedTuple):
    """One collective operation of a graph."""

    purpose: str  # "statistics", "embeddings", "matrix", "vectors" (of the loss), "gradients" or "shapes"
    op: str
    dtype: str
    shape: tuple[int, ...]  # of what a replica hands in

    @property
    def payload_bytes(self) -> int:
        """What a replica hands in."""
        return tf.TensorShape(self.shape).num_elements() * tf.as_dtype(self.dtype).size

    def received_bytes(self, replicas: int) -> float:
        """What a replica receives in a ring."""
        return (replicas - 1) * self.payload_bytes * (1 if "Gather" in self.op else 2 / replicas)


def describe(
    graph: tf.Graph, form: str, *, replicas: int, examples: int, dimensions: int, weights: int, channels: int
) -> dict[str, Any]:
    """Returns what a step exchanges, by its graph and by formula, and which square matrices it makes.

    Args:
        graph: Of the compiled step on one replica of several.
        form: Of the loss, "gram" (N×N) or "correlation" (D×D).
        replicas: R.
        examples: N.
        dimensions: D.
        weights: P.
        channels: Σ C over the normalization layers.
    """
    listed = list_collectives(graph)
    return {
        "received_bytes_by_graph": received_bytes(listed, replicas),
        "received_bytes_by_formula": {
            **received_by_loss(form, replicas=replicas, examples=examples, dimensions=dimensions),
            **received_by_training(replicas=replicas, weights=weights, channels=channels),
        },
        "tensors_of_shape_d_d": square_matrices(graph, dimensions),
        "tensors_of_shape_n_n": square_matrices(graph, examples),
        "collectives": count(listed),
    }


def is_as_said(described: dict[str, Any], form: str) -> bool:
    """Returns whether graph and formulas agree, N×N is made by rows only, and only the D×D form has a matrix [D, D].

    With the bytes the number is right too: the formula of the embeddings has each view's once.
    """
    received, formulas = described["received_bytes_by_graph"], described["received_bytes_by_formula"]
    agree = all(math.isclose(received.get(purpose, 0), value) for purpose, value in formulas.items())
    of_its_form = bool(described["tensors_of_shape_d_d"]) == (form == "correlation")
    return agree and of_its_form and not described["tensors_of_shape_n_n"]


def list_collectives(graph: tf.Graph) -> list[Collective]:
    """Returns the collectives of a traced step, in the order of the trace.

    Raises:
        ValueError: There is one that this module cannot read: of unknown shape, or inside a function that the graph
            calls.
    """
    hidden = [n.op for function in graph.as_graph_def().library.function for n in function.node_def if _moves(n.op)]
    if hidden:
        raise ValueError(f"Received a graph that calls functions with {hidden}. Expected all collectives in the graph.")
    return [_read(op) for op in graph.get_operations() if _moves(op.type)]


def count(collectives: Sequence[Collective]) -> list[dict[str, Any]]:
    """Returns equal collectives once, with their number."""
    return [
        {"operations": number, "payload_bytes_each": each.payload_bytes, **each._asdict()}
        for each, number in Counter(collectives).items()
    ]


def received_bytes(collectives: Sequence[Collective], replicas: int) -> dict[str, float]:
    """Returns the bytes that a replica receives in a step, for each purpose and in total."""
    received: dict[str, float] = {}
    for each in collectives:
        for name in (each.purpose, "total"):
            received[name] = received.get(name, 0) + each.received_bytes(replicas)
    return received


def received_by_loss(form: str, *, replicas: int, examples: int, dimensions: int) -> dict[str, float]:
    """Returns the bytes that a replica receives for embeddings or matrix, by the formulas of this module.

    Args:
        form: Of the loss, "gram" (N×N) or "correlation" (D×D).
        replicas: R.
        examples: N.
        dimensions: D.
    """
    if form == "gram":
        return {"embeddings": (replicas - 1) / replicas * 2 * examples * dimensions * _FLOAT}
    return {"matrix": 2 * (replicas - 1) / replicas * dimensions**2 * _FLOAT}


def received_by_training(*, replicas: int, weights: int, channels: int) -> dict[str, float]:
    """Returns the bytes that a replica receives for gradients and statistics, by the formulas of this module.

    Args:
        replicas: R.
        weights: P.
        channels: Σ C over the normalization layers.
    """
    reduced = 2 * (replicas - 1) / replicas
    return {
        "gradients": reduced * weights * _FLOAT,
        "statistics": 2 * channels * ((replicas - 1) * 3 + reduced * 2) * _FLOAT,
    }


def square_matrices(graph: tf.Graph, size: int) -> list[str]:
    """Returns the names of all floating tensors that are, or might be, matrices [size, size].

    A tensor might be one where the trace does not know its shape. What TensorFlow makes on the way of a gather is of
    that kind and left out: there the embeddings' rows are padded, cut and put together.
    """
    square = tf.TensorShape([size, size])
    found = [
        tensor.name
        for op in graph.get_operations()
        for tensor in op.outputs
        if tensor.dtype.is_floating
        and tensor.shape.is_compatible_with(square)
        and "allgather" not in _source(tensor).name
    ]
    for function in graph.as_graph_def(add_shapes=True).library.function:
        for node in function.node_def:
            shapes = [tf.TensorShape(shape) for shape in node.attr["_output_shapes"].list.shape]
            found += [f"{function.signature.name}/{node.name}" for shape in shapes if shape.is_compatible_with(square)]
    return found


def _moves(op_type: str) -> bool:
    return op_type.startswith(("CollectiveReduce", "CollectiveGather", "CollectiveBcast", "CollectiveAllToAll", "Nccl"))


def _read(op: tf.Operation) -> Collective:
    given = op.inputs[0]
    if given.dtype.is_integer:
        purpose = "shapes"  # TensorFlow asks for them before each gather.
    elif op.name.startswith(_OPTIMIZER_SCOPE):
        purpose = "gradients"
    else:
        # Padding, transposing and packing stand in between; with equal shares they change no size.
        while not _was_made_in(_STEP, given.op) and given.op.inputs:
            given = given.op.inputs[0]
        of_matrix = "embeddings" if "Gather" in op.type else "matrix"
        of_loss = of_matrix if given.shape.rank == 2 else "vectors"
        purpose = "statistics" if _was_made_in(_STATISTICS, given.op) else of_loss
    if not given.shape.is_fully_defined():
        raise ValueError(f"Received {op.name} of shape {given.shape}. Expected a known shape.")
    return Collective(purpose, op.type, given.dtype.name, tuple(given.shape.as_list()))


def _was_made_in(file: str, op: tf.Operation) -> bool:
    return any(frame.filename.endswith(file) for frame in op.traceback)


def _source(tensor: tf.Tensor) -> tf.Operation:
    """Returns the operation that computed a tensor, behind those that only hand it on."""
    while tensor.op.type in ("Identity", "IdentityN"):
        tensor = tensor.op.inputs[tensor.value_index]
    return tensor.op
