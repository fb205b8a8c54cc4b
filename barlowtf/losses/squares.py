"""The sum of all squares of a cross-correlation matrix, in its two exact forms.

Letters: n examples on this replica, N in the global batch, D dimensions; A, B = standardized embeddings, [N, D], of
which a replica holds n rows; C = A^T B / N, [D, D].

The sum of all squares of C is what the redundancy term needs, and there are two ways to it:

1. "correlation" makes C itself. Products: A^T B forward; B C^T and A C backward: 6 N D^2 operations, one D x D matrix.
2. "gram" uses sum_ij C_ij^2 = trace(A^T B B^T A) / N^2 = <A A^T, B B^T> / N^2, which needs two N x N matrices.
   Products: A A^T and B B^T forward; (B B^T) A and (A A^T) B backward: 8 N^2 D operations. Each replica makes its own
   n rows of them, forward and backward, so the work is shared out and nothing but embeddings and scalars is exchanged.

A and B may differ in width.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from barlowtf.distribute.collectives import all_gather, all_reduce_sum, replica_count
from barlowtf.losses.standardize import global_batch_size

FORMS = ("auto", "correlation", "gram")

# From A and B (this replica's n rows) and N: sum_ij C_ij^2, and two functions of a factor f that give f times the
# gradient of that sum by A and by B, float32 [n, D].
Squares = tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor], Callable[[tf.Tensor], tf.Tensor]]


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


def chosen_form(form: str, z: tf.Tensor) -> str:
    """Returns "correlation" or "gram": the form itself, or for "auto" the cheaper one for embeddings [n, D]."""
    if form != "auto":
        return form
    return cheaper_form(None if z.shape[0] is None else z.shape[0] * replica_count(), z.shape[1])


def sum_of_squares(a: tf.Tensor, b: tf.Tensor, form: str) -> tf.Tensor:
    """Returns sum_ij C_ij^2 of the global batch, equal on all replicas, with its gradient.

    Args:
        a: float32 [n, D], this replica's rows of A.
        b: float32 [n, E], this replica's rows of B.
        form: "correlation" or "gram".

    Returns:
        float32 scalar; the gradients are those of the sum of the replicas' losses (`barlowtf.distribute.collectives`).
    """

    @tf.custom_gradient
    def squares(a: tf.Tensor, b: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
        value, by_a, by_b = SQUARES[form](a, b, global_batch_size(a))

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            factor = all_reduce_sum(upstream)
            return by_a(factor), by_b(factor)

        return value, gradient

    value: tf.Tensor = squares(a, b)
    return value


def squares_by_gram(a: tf.Tensor, b: tf.Tensor, examples: tf.Tensor) -> Squares:
    """The sum of squares by N x N matrices."""
    all_a, all_b = all_gather(a), all_gather(b)  # [n, D] -> [N, D]
    # Einsum, not matmul: at n = 256, D = 8192 its kernel takes half the time for this product (measured on a CPU).
    gram_a = tf.einsum("nd,md->nm", a, all_a)  # [n, N]
    gram_b = tf.einsum("nd,md->nm", b, all_b)
    # Entries grow with D: divided before they are multiplied, so that the sum stays in the range of the loss.
    squares = all_reduce_sum(tf.reduce_sum((gram_a / examples) * (gram_b / examples)))
    scale = 2.0 / examples**2
    return (
        squares,
        lambda factor: tf.matmul(gram_b * (factor * scale), all_a),
        lambda factor: tf.matmul(gram_a * (factor * scale), all_b),
    )


def squares_by_correlation(a: tf.Tensor, b: tf.Tensor, examples: tf.Tensor) -> Squares:
    """The sum of squares by the D x D matrix. Factors go to the [n, D] embeddings: no second D x D matrix is made."""
    correlation = all_reduce_sum(tf.matmul(a / examples, b, transpose_a=True))
    squares = 2.0 * tf.nn.l2_loss(correlation)
    scale = 2.0 / examples

    def by_a(factor: tf.Tensor) -> tf.Tensor:
        # B C^T as (C B^T)^T: a third faster (measured on a CPU), and what is transposed is the small one.
        return tf.transpose(tf.matmul(correlation, b * (factor * scale), transpose_b=True))

    return squares, by_a, lambda factor: tf.matmul(a * (factor * scale), correlation)


SQUARES = {"correlation": squares_by_correlation, "gram": squares_by_gram}
