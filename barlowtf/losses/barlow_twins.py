"""The Barlow Twins loss in its two exact forms, with gradients written by hand.

Letters: n examples on this replica, N in the global batch, D dimensions; A, B = the standardized embeddings of view a
and view b, [N, D], of which a replica holds n rows; C = A^T B / N, [D, D].

The redundancy term needs the sum of all squares of C, and there are two ways to it:

1. "correlation" makes C itself. Products: A^T B forward; B C^T and A C backward: 6 N D^2 operations, one D x D matrix.
2. "gram" uses sum_ij C_ij^2 = trace(A^T B B^T A) / N^2 = <A A^T, B B^T> / N^2, which needs two N x N matrices.
   Products: A A^T and B B^T forward; (B B^T) A and (A A^T) B backward: 8 N^2 D operations. Each replica makes its own
   n rows of them, forward and backward, so the work is shared out and nothing but embeddings and scalars is exchanged.

The diagonal, C_ii = sum_n A_ni B_ni / N, needs neither.
"""

from typing import NamedTuple

import tensorflow as tf

from barlowtf.distribute.collectives import all_gather, all_reduce_sum, replica_count
from barlowtf.losses.standardize import global_batch_size, standardize

FORMS = ("auto", "correlation", "gram")


class LossTerms(NamedTuple):
    """The loss and its two terms, float32 scalars of the global batch: total = invariance + lambd * redundancy."""

    total: tf.Tensor
    invariance: tf.Tensor
    redundancy: tf.Tensor


def barlow_twins_loss(z_a: tf.Tensor, z_b: tf.Tensor, *, lambd: float = 0.0051, form: str = "auto") -> LossTerms:
    """Barlow Twins loss of two batches of embeddings, inside and outside a replica context.

    Args:
        z_a: Embeddings of view a, float [n, D], n = this replica's share of the global batch N.
        z_b: Embeddings of view b, like `z_a`.
        lambd: Weight of the redundancy term, >= 0. Default: the authors' code (the paper says 0.005).
        form: "correlation" makes the D x D matrix C, "gram" two N x N matrices: the same number by different products.
            "auto": see `cheaper_form`.

    Returns:
        LossTerms(total, invariance, redundancy): float32 scalars of the global batch, equal on all replicas.
        invariance = sum_i (1 - C_ii)^2; redundancy = sum_{i != j} C_ij^2, not yet multiplied by `lambd`;
        total = invariance + lambd * redundancy. Computed in float32 whatever the inputs' precision; gradients reach the
        inputs in their own dtype. On several replicas they are those of the *sum* of the replicas' losses: a train step
        divides the loss by the number of replicas.

    Raises:
        ValueError: Shapes differ or are not [n, D], N < 2, `form` unknown, or `lambd` < 0.
        tf.errors.InvalidArgumentError: When running, N < 2 or the shapes differ where they were unknown before.

    Source: arXiv:2103.03230, eq. 1 and 2; facebookresearch/barlowtwins main.py, BarlowTwins.forward.
    """
    z_a, z_b = tf.convert_to_tensor(z_a), tf.convert_to_tensor(z_b)
    _check_arguments(z_a, z_b, lambd, form)
    with tf.control_dependencies(_run_time_checks(z_a, z_b)):
        y_a, y_b = standardize(z_a), standardize(z_b)
    if form == "auto":
        examples = None if z_a.shape[0] is None else z_a.shape[0] * replica_count()
        form = cheaper_form(examples, z_a.shape[1])
    terms = _gram_terms if form == "gram" else _correlation_terms
    invariance, redundancy = terms(y_a, y_b)
    return LossTerms(invariance + lambd * redundancy, invariance, redundancy)


def cheaper_form(examples: int | None, dimensions: int | None) -> str:
    """The form that costs less, in operations and in memory: "gram" or "correlation".

    Operations: 8 N^2 D < 6 N D^2 below N = 0.75 D. Memory: 2 N^2 < D^2 below N = 0.71 D, the condition used.

    Args:
        examples: Global batch N; None where it is known only when running.
        dimensions: D; None likewise.

    Returns:
        "gram" where N is below D / sqrt(2), and where either is unknown: the usual batch is far smaller than D.
    """
    if examples is None or dimensions is None:
        return "gram"
    return "gram" if 2 * examples**2 <= dimensions**2 else "correlation"


@tf.custom_gradient
def _gram_terms(a: tf.Tensor, b: tf.Tensor):
    """Invariance and redundancy of standardized embeddings, float32 [n, D], by N x N matrices."""
    examples = global_batch_size(a)
    all_a, all_b = all_gather(a), all_gather(b)  # [n, D] -> [N, D]
    # Einsum, not matmul: at n = 256, D = 8192 its kernel takes half the time for this product (measured on a CPU).
    gram_a = tf.einsum("nd,md->nm", a, all_a)  # [n, N]
    gram_b = tf.einsum("nd,md->nm", b, all_b)
    diagonal = _diagonal(a, b, examples)
    # N x N products of size up to D: divided before they are summed, so that the sum stays near 1.
    squares = all_reduce_sum(tf.reduce_sum((gram_a / examples) * (gram_b / examples)))

    def gradient(d_invariance: tf.Tensor, d_redundancy: tf.Tensor):
        d_invariance, d_redundancy = tf.unstack(all_reduce_sum(tf.stack([d_invariance, d_redundancy])))
        scale = 2.0 * d_redundancy / examples**2
        weights = _diagonal_weights(diagonal, d_invariance, d_redundancy) / examples
        d_a = tf.matmul(gram_b * scale, all_a) + b * weights
        d_b = tf.matmul(gram_a * scale, all_b) + a * weights
        return d_a, d_b

    return (_invariance(diagonal), squares - tf.reduce_sum(tf.square(diagonal))), gradient


@tf.custom_gradient
def _correlation_terms(a: tf.Tensor, b: tf.Tensor):
    """Invariance and redundancy of standardized embeddings, float32 [n, D], by the D x D matrix."""
    examples = global_batch_size(a)
    correlation = all_reduce_sum(tf.matmul(a / examples, b, transpose_a=True))
    diagonal = _diagonal(a, b, examples)
    squares = 2.0 * tf.nn.l2_loss(correlation)

    def gradient(d_invariance: tf.Tensor, d_redundancy: tf.Tensor):
        d_invariance, d_redundancy = tf.unstack(all_reduce_sum(tf.stack([d_invariance, d_redundancy])))
        # The factors go to the [n, D] embeddings: no second D x D matrix.
        scale = 2.0 * d_redundancy / examples
        weights = _diagonal_weights(diagonal, d_invariance, d_redundancy) / examples
        # Einsum, not matmul: faster with a transposed D x D matrix (measured on a CPU: 170 against 260 ms).
        d_a = tf.einsum("nj,ij->ni", b * scale, correlation) + b * weights
        d_b = tf.matmul(a * scale, correlation) + a * weights
        return d_a, d_b

    return (_invariance(diagonal), squares - tf.reduce_sum(tf.square(diagonal))), gradient


def _diagonal(a: tf.Tensor, b: tf.Tensor, examples: tf.Tensor) -> tf.Tensor:
    """C_ii, float32 [D], of the global batch."""
    return all_reduce_sum(tf.reduce_sum(a * b, axis=0)) / examples


def _invariance(diagonal: tf.Tensor) -> tf.Tensor:
    """Sum of (1 - C_ii)^2, a float32 scalar, from C_ii [D]."""
    return tf.reduce_sum(tf.square(1.0 - diagonal))


def _diagonal_weights(diagonal: tf.Tensor, d_invariance: tf.Tensor, d_redundancy: tf.Tensor) -> tf.Tensor:
    """Gradient [D] by C_ii of: d_invariance * sum (1 - C_ii)^2 - d_redundancy * sum C_ii^2."""
    return -2.0 * (d_invariance * (1.0 - diagonal) + d_redundancy * diagonal)


def _check_arguments(z_a: tf.Tensor, z_b: tf.Tensor, lambd: float, form: str) -> None:
    """Raises ValueError for what is wrong before running."""
    if z_a.shape.rank != 2 or z_b.shape.rank != 2 or not z_a.shape.is_compatible_with(z_b.shape):
        raise ValueError(
            f"Received embeddings of shapes {z_a.shape} and {z_b.shape}. Expected two equal shapes [n, D]."
        )
    if z_a.shape[0] is not None and z_a.shape[0] * replica_count() < 2:
        raise ValueError(
            f"Received a global batch of {z_a.shape[0]}. Expected at least 2: one example has no variance."
        )
    if form not in FORMS:
        raise ValueError(f"Received form = {form!r}. Expected one of {', '.join(FORMS)}.")
    if not lambd >= 0:
        raise ValueError(f"Received lambd = {lambd}. Expected a number >= 0.")


def _run_time_checks(z_a: tf.Tensor, z_b: tf.Tensor) -> list[tf.Operation]:
    """The checks that had to wait for the batch; none where the shapes are known, so that XLA has nothing to drop."""
    if z_a.shape.is_fully_defined() and z_b.shape.is_fully_defined():
        return []
    equal = tf.debugging.assert_equal(tf.shape(z_a), tf.shape(z_b), "Expected embeddings of two equal shapes [n, D].")
    enough = tf.debugging.assert_greater_equal(global_batch_size(z_a), 2.0, "Expected a global batch of at least 2.")
    return [check for check in (equal, enough) if check is not None]
