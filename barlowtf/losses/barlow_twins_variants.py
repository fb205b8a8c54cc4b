"""Variants of the Barlow Twins loss that the paper compares with it: its Tables 5 and 6.

Letters: n examples on this replica, N in the global batch, D dimensions; A, B = the normalized embeddings of view a and
view b, [N, D]; C = A^T B / N, [D, D], which is the cross-correlation matrix where A and B are standardized.

With every setting at its default this is the loss `barlow_twins`, written out without its two fast forms.
"""

from collections.abc import Sequence
from typing import Literal

import tensorflow as tf
from pydantic import Field

from barlowtf.config.section import Count, NonNegative, Positive, Section
from barlowtf.distribute.collectives import all_reduce_sum, replica_count
from barlowtf.losses.barlow_twins import LossTerms
from barlowtf.losses.contract import Loss, Parts, ViewEmbeddings, check_embeddings, mean_over_pairs
from barlowtf.losses.standardize import global_batch_size, standardize

Normalization = Literal["batch", "features", "center"]


class BarlowTwinsVariantsSettings(Section):
    """What the variants change; the defaults change nothing."""

    invariance: NonNegative = Field(1.0, description="weight of the invariance term; 0: redundancy only")
    lambd: NonNegative = Field(0.0051, description="weight of the redundancy term; 0: invariance only")
    normalize: Normalization = Field(
        "batch",
        description="of the embeddings; batch: each dimension over the batch; features: that, and then each embedding "
        "to one length; center: only the mean is removed",
    )
    criterion: Literal["squares", "cross_entropy"] = Field(
        "squares", description="of the entries of C; squares: the paper's loss; cross_entropy: with a temperature"
    )
    temperature: Positive = Field(0.1, description="of cross_entropy; not published")
    predictor: tuple[Count, ...] = Field(
        (), description="widths of the hidden layers of a predictor of view a; empty: no predictor"
    )
    stop_gradient: bool = Field(False, description="whether the embeddings of view b get no gradient")


def cross_correlation(z_a: tf.Tensor, z_b: tf.Tensor, normalize: Normalization = "batch") -> tf.Tensor:
    """C of two batches of embeddings, float32 [D, D], of the global batch.

    Args:
        z_a: Embeddings of view a, float [n, D], n = this replica's share of the global batch N.
        z_b: Embeddings of view b, like `z_a`.
        normalize: "batch": to mean 0 and variance 1 over the batch, in each dimension. "features": that, and then each
            embedding to the length sqrt(D), so that the diagonal can reach 1 (differs from the paper in the length,
            which it does not publish). "center": to mean 0, so that C is a covariance matrix.

    Raises:
        ValueError: Shapes differ or are not [n, D], or N < 2.
    """
    z_a, z_b = tf.convert_to_tensor(z_a), tf.convert_to_tensor(z_b)
    check_embeddings(z_a, z_b, replica_count())
    a, b = (_normalized(z, normalize) for z in (z_a, z_b))
    return all_reduce_sum(tf.matmul(a / global_batch_size(a), b, transpose_a=True))


def squares_of(correlation: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns sum_i (1 - C_ii)^2 and sum_{i != j} C_ij^2 of a matrix [D, D].

    Source: arXiv:2103.03230, eq. 1.
    """
    diagonal = tf.linalg.diag_part(correlation)
    off_diagonal = tf.linalg.set_diag(correlation, tf.zeros_like(diagonal))
    return tf.reduce_sum(tf.square(1.0 - diagonal)), tf.reduce_sum(tf.square(off_diagonal))


def cross_entropies_of(correlation: tf.Tensor, temperature: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns -log sum_i exp(C_ii / t) and log sum_{i != j} exp(max(C_ij, 0) / t) of a matrix [D, D], D >= 2.

    Args:
        correlation: C, float32.
        temperature: t, > 0; the paper does not publish its value.

    Raises:
        ValueError: D is 1: nothing lies off the diagonal.

    Source: arXiv:2103.03230, section 4, the paragraph on ablations of the loss.
    """
    if correlation.shape[-1] == 1:
        raise ValueError("Invalid embeddings: received D = 1, expected at least 2 dimensions with cross_entropy.")
    diagonal = tf.linalg.diag_part(correlation)
    # exp(-inf) = 0: the diagonal does not count.
    off_diagonal = tf.linalg.set_diag(tf.nn.relu(correlation) / temperature, tf.fill(tf.shape(diagonal), -float("inf")))
    return -tf.reduce_logsumexp(diagonal / temperature), tf.reduce_logsumexp(off_diagonal)


def barlow_twins_variant_loss(
    view_a: ViewEmbeddings, view_b: ViewEmbeddings, settings: BarlowTwinsVariantsSettings
) -> LossTerms:
    """A variant of the Barlow Twins loss of two views, inside and outside a replica context.

    Args:
        view_a: Its prediction takes the place of its embeddings where there is a predictor. The paper does not publish
            on which views predictor and stop-gradient act. One view each is ours: with a stop-gradient on either view
            in turn, the gradient would be half of the original's, and nothing else would change.
        view_b: The other view.
        settings: Which variant.

    Returns:
        LossTerms(total, invariance, redundancy), total = weight * invariance + lambd * redundancy, as of
        `barlow_twins_loss`.

    Source: arXiv:2103.03230, section 4 and Tables 5 and 6.
    """
    z_a = view_a.z if view_a.prediction is None else view_a.prediction
    z_b = tf.stop_gradient(view_b.z) if settings.stop_gradient else view_b.z
    correlation = cross_correlation(z_a, z_b, settings.normalize)
    if settings.criterion == "squares":
        invariance, redundancy = squares_of(correlation)
    else:
        invariance, redundancy = cross_entropies_of(correlation, settings.temperature)
    return LossTerms(settings.invariance * invariance + settings.lambd * redundancy, invariance, redundancy)


def _normalized(z: tf.Tensor, normalize: Normalization) -> tf.Tensor:
    """Returns embeddings [n, D] as `cross_correlation` says, float32."""
    if normalize == "center":
        z = tf.cast(z, tf.float32)
        return z - all_reduce_sum(tf.reduce_sum(z, axis=0)) / global_batch_size(z)
    standardized = standardize(z)
    if normalize == "batch":
        return standardized
    width = tf.cast(tf.shape(z)[1], tf.float32)
    return tf.math.l2_normalize(standardized, axis=1) * tf.sqrt(width)


def _compute(views: Sequence[ViewEmbeddings], settings: BarlowTwinsVariantsSettings) -> dict[str, tf.Tensor]:
    return mean_over_pairs(lambda a, b: barlow_twins_variant_loss(a, b, settings)._asdict(), views)


def _parts(settings: BarlowTwinsVariantsSettings) -> Parts:
    return Parts(predictor=settings.predictor or None)


def _memory(images: int, width: int, settings: BarlowTwinsVariantsSettings) -> int:
    """Normalized embeddings and gradients of two views; C, its entries' terms and their gradients."""
    return 6 * images * width + 4 * width**2


BARLOW_TWINS_VARIANTS = Loss(
    "barlow_twins_variants",
    BarlowTwinsVariantsSettings,
    ("invariance", "redundancy"),
    _compute,
    parts=_parts,
    memory=_memory,
)
