"""Mixed Barlow Twins: the Barlow Twins loss, and a term that asks mixed images for mixed embeddings.

Letters: N examples in the global batch, D dimensions; A, B, M = the standardized embeddings of view a, of view b and of
the mixtures alpha * view a + (1 - alpha) * view b of a partner, [N, D]; B' = the rows of B in the order of the
partners. If the network were linear, M would be P = alpha A + (1 - alpha) B'. The term is

    (|M^T A / N - P^T A / N|^2 + |M^T B / N - P^T B / N|^2) / 2

in which both differences are one cross-correlation, of M - P with A and B side by side.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf
from pydantic import Field

from barlowtf.config.section import Positive
from barlowtf.distribute.collectives import replica_count
from barlowtf.losses.barlow_twins import BarlowTwinsSettings, barlow_twins_loss
from barlowtf.losses.contract import Loss, Mixture, Parts, ViewEmbeddings, check_embeddings, mean_over_pairs
from barlowtf.losses.squares import chosen_form, sum_of_squares
from barlowtf.losses.standardize import standardize


class MixedBarlowTwinsSettings(BarlowTwinsSettings):
    """Those of barlow_twins, and the weight of the mixture term."""

    mix: Positive = Field(
        1.0, description="weight of the mixture term, times lambd; 1: the authors' for ImageNet, 8: for CIFAR"
    )


class MixedTerms(NamedTuple):
    """The loss and its terms, float32 scalars of the global batch, unweighted."""

    total: tf.Tensor
    invariance: tf.Tensor
    redundancy: tf.Tensor
    mixture: tf.Tensor


def mixture_term(
    z_a: tf.Tensor, z_b: tf.Tensor, mixture: Mixture, *, form: str = "auto", epsilon: float = 1e-5
) -> tf.Tensor:
    """How far correlations with mixed images are from the mixed correlations.

    Args:
        z_a: Embeddings of view a, float [n, D], n = this replica's share of the global batch N.
        z_b: Embeddings of view b, like `z_a`.
        mixture: Embeddings of the mixtures of view a with the partners' view b, like `z_a`, and how they were mixed.
        form: Form of the sums of squares, as of `barlow_twins_loss`.
        epsilon: Added to the variances of the standardization, > 0.

    Returns:
        float32 scalar of the global batch, equal on all replicas. The gradient reaches all three embeddings: the mixed
        correlations are no constants, as in the authors' code.

    Raises:
        ValueError: Shapes differ or are not [n, D], or N < 2.

    Source: arXiv:2312.02151; wgcban/mix-bt main.py. Differs from it because embeddings are standardized as
    those of the Barlow Twins loss, by the variance over N with an epsilon: the authors' value is the one here times
    ((N - 1) / N)^2. main_imagenet.py, the authors' script for ImageNet, has B instead of A in P for the second
    difference, which is not the paper's.
    """
    z_a, z_b, z_m = (tf.convert_to_tensor(z) for z in (z_a, z_b, mixture.z))
    for z in (z_b, z_m):
        check_embeddings(z_a, z, replica_count())
    a, b, m = (standardize(z, epsilon) for z in (z_a, z_b, z_m))
    alpha = tf.cast(mixture.alpha, tf.float32)
    mixed = alpha * a + (1.0 - alpha) * tf.gather(b, mixture.partners)
    return sum_of_squares(m - mixed, tf.concat([a, b], axis=1), chosen_form(form, z_a)) / 2.0


def mixed_barlow_twins_loss(
    z_a: tf.Tensor, z_b: tf.Tensor, mixture: Mixture, *, lambd: float = 0.0051, mix: float = 1.0, form: str = "auto"
) -> MixedTerms:
    """Barlow Twins loss of two batches of embeddings plus mix * lambd * the mixture term.

    Args:
        z_a: As of `mixture_term`.
        z_b: As of `mixture_term`.
        mixture: As of `mixture_term`.
        lambd: Weight of the redundancy term and, times `mix`, of the mixture term, >= 0.
        mix: Weight of the mixture term, > 0. Default: the authors' for ImageNet, whose loop lets it grow from 0 over
            the first 10 epochs; here it is constant. 8 is theirs for CIFAR-10, a scale of 4 on the term without its
            half, with lambd = 1/128.
        form: As of `barlow_twins_loss`.

    Raises:
        ValueError: As `barlow_twins_loss`.
    """
    twins = barlow_twins_loss(z_a, z_b, lambd=lambd, form=form)
    term = mixture_term(z_a, z_b, mixture, form=form)
    return MixedTerms(twins.total + mix * lambd * term, twins.invariance, twins.redundancy, term)


def _compute(views: Sequence[ViewEmbeddings], settings: MixedBarlowTwinsSettings) -> dict[str, tf.Tensor]:
    """Barlow Twins over all pairs of views, and the mean mixture term over the pairs of view a and view b.

    Raises:
        ValueError: No view has a mixture.
    """
    lambd, form = settings.lambd, settings.form
    twins = mean_over_pairs(lambda a, b: barlow_twins_loss(a.z, b.z, lambd=lambd, form=form)._asdict(), views)
    full = [view for view in views if not view.local]
    mixed = [
        mixture_term(a.z, b.z, a.mixture, form=form)
        for a, b in zip(full, full[len(full) // 2 :], strict=False)
        if a.mixture is not None
    ]
    if not mixed:
        raise ValueError("Invalid views: received none with a mixture, expected one with each view a.")
    term = tf.add_n(mixed) / len(mixed)
    return {**twins, "total": twins["total"] + settings.mix * lambd * term, "mixture": term}


def _memory(images: int, width: int, settings: MixedBarlowTwinsSettings) -> int:
    """Standardized embeddings and gradients of two views, of mixtures, and of their differences; five matrices."""
    return 10 * images * width + 5 * min(images, width) ** 2


MIXED_BARLOW_TWINS = Loss(
    "mixed_barlow_twins",
    MixedBarlowTwinsSettings,
    ("invariance", "redundancy", "mixture"),
    _compute,
    parts=lambda settings: Parts(mixture=True),
    memory=_memory,
)
