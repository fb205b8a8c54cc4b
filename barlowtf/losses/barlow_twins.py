"""The Barlow Twins loss in its two exact forms, with gradients written by hand.

Letters: n examples on this replica, N in the global batch, D dimensions; A, B = the standardized embeddings of view a
and view b, [N, D], of which a replica holds n rows; C = A^T B / N, [D, D].

The redundancy term needs the sum of all squares of C; `barlowtf.losses.squares` has the two ways to it.

The diagonal, C_ii = sum_n A_ni B_ni / N, needs neither.

Standardization and terms share one gradient, so that view a can be finished before view b begins: the executor then
reuses the buffers of one view for the other (measured at N = 256, D = 8192: 35 MiB beyond the inputs, against 45).
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import tensorflow as tf
from pydantic import Field

from barlowtf.config.section import NonNegative, Section
from barlowtf.distribute.collectives import all_reduce_sum, replica_count
from barlowtf.losses.contract import Loss, ViewEmbeddings, check_embeddings, mean_over_pairs
from barlowtf.losses.squares import FORMS, SQUARES, Squares, chosen_form
from barlowtf.losses.standardize import global_batch_size, standardize_backward, standardize_forward


class LossTerms(NamedTuple):
    """The loss and its two terms, float32 scalars of the global batch: total = invariance + lambd * redundancy."""

    total: tf.Tensor
    invariance: tf.Tensor
    redundancy: tf.Tensor


class BarlowTwinsSettings(Section):
    """Weight of the redundancy term, and the form in which it is computed."""

    lambd: NonNegative = Field(0.0051, description="weight of the redundancy term; the paper says 0.005")
    form: Literal["auto", "correlation", "gram"] = Field(
        "auto", description="correlation: D x D; gram: N x N; auto: the cheaper one"
    )


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
    form = chosen_form(form, z_a)
    with tf.control_dependencies(_run_time_checks(z_a, z_b)):
        z_a, z_b = tf.cast(tf.identity(z_a), tf.float32), tf.cast(tf.identity(z_b), tf.float32)
    invariance, redundancy = _terms(SQUARES[form], z_a, z_b)
    return LossTerms(invariance + lambd * redundancy, invariance, redundancy)


def _terms(squares_of: Callable[..., Squares], z_a: tf.Tensor, z_b: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Invariance and redundancy of embeddings, float32 [n, D]; `squares_of` is the form."""

    @tf.custom_gradient
    def terms(z_a: tf.Tensor, z_b: tf.Tensor) -> tuple[tuple[tf.Tensor, tf.Tensor], Callable[..., Any]]:
        forward_a, forward_b = standardize_forward(z_a), standardize_forward(z_b)
        a, b, examples = forward_a.y, forward_b.y, forward_a.examples
        squares, squares_by_a, squares_by_b = squares_of(a, b, examples)
        diagonal = all_reduce_sum(tf.reduce_sum(a * b, axis=0)) / examples  # C_ii, [D]

        def gradient(d_invariance: tf.Tensor, d_redundancy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            d_invariance, d_redundancy = tf.unstack(all_reduce_sum(tf.stack([d_invariance, d_redundancy])))
            # By C_ii, of d_invariance * sum (1 - C_ii)^2 - d_redundancy * sum C_ii^2; and C_ii by A is B / N.
            weights = -2.0 * (d_invariance * (1.0 - diagonal) + d_redundancy * diagonal) / examples
            by_a = standardize_backward(squares_by_a(d_redundancy) + b * weights, forward_a)
            with tf.control_dependencies([by_a]):
                by_b = standardize_backward(squares_by_b(d_redundancy) + a * weights, forward_b)
            return by_a, by_b

        invariance = tf.reduce_sum(tf.square(1.0 - diagonal))
        return (invariance, squares - tf.reduce_sum(tf.square(diagonal))), gradient

    return terms(z_a, z_b)


def _check_arguments(z_a: tf.Tensor, z_b: tf.Tensor, lambd: float, form: str) -> None:
    """Raises ValueError for what is wrong before running."""
    check_embeddings(z_a, z_b, replica_count())
    if form not in FORMS:
        raise ValueError(f"Invalid form: received {form!r}, expected one of {', '.join(FORMS)}.")
    if not lambd >= 0:
        raise ValueError(f"Invalid lambd: received {lambd}, expected a number >= 0.")


def _run_time_checks(z_a: tf.Tensor, z_b: tf.Tensor) -> list[tf.Operation]:
    """The checks that had to wait for the batch; none where the shapes are known, so that XLA has nothing to drop."""
    if z_a.shape.is_fully_defined() and z_b.shape.is_fully_defined():
        return []
    equal = tf.debugging.assert_equal(tf.shape(z_a), tf.shape(z_b), "Expected embeddings of two equal shapes [n, D].")
    enough = tf.debugging.assert_greater_equal(global_batch_size(z_a), 2.0, "Expected a global batch of at least 2.")
    return [check for check in (equal, enough) if check is not None]


def _compute(views: Sequence[ViewEmbeddings], settings: BarlowTwinsSettings) -> dict[str, tf.Tensor]:
    lambd, form = settings.lambd, settings.form
    return mean_over_pairs(lambda a, b: barlow_twins_loss(a.z, b.z, lambd=lambd, form=form)._asdict(), views)


def _memory(images: int, width: int, settings: BarlowTwinsSettings) -> int:
    """Standardized embeddings and their gradients of two views, and at most three square matrices."""
    return 4 * images * width + 3 * min(images, width) ** 2


BARLOW_TWINS = Loss("barlow_twins", BarlowTwinsSettings, ("invariance", "redundancy"), _compute, memory=_memory)
