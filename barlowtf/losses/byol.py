"""BYOL: each view's prediction is to point where a slowly moving copy of the network puts the other view."""

from collections.abc import Sequence

import tensorflow as tf
from pydantic import Field

from barlowtf.config.section import Count, Probability, Section
from barlowtf.losses.contract import Loss, Parts, ViewEmbeddings, mean_over_pairs
from barlowtf.losses.simsiam import CosineTerms, symmetric_cosine


class BYOLSettings(Section):
    """The predictor, and how fast the copy follows."""

    predictor: tuple[Count, ...] = Field((4096,), description="widths of the predictor's hidden layers")
    momentum: tuple[Probability, Probability] = Field(
        (0.996, 1.0), description="share of itself that the copy keeps in a step, at the start and at the end"
    )


def byol_loss(view_a: ViewEmbeddings, view_b: ViewEmbeddings) -> CosineTerms:
    """BYOL's loss of two views: squared distances of predictions and targets of length 1, both directions added.

    Args:
        view_a: As of `symmetric_cosine`.
        view_b: As of `symmetric_cosine`.

    Returns:
        CosineTerms: total from 0 to 8, 4 - 4 times the mean cosine.

    Source: arXiv:2006.07733, eq. 2.
    """
    cosine = symmetric_cosine(view_a, view_b)
    return CosineTerms(4.0 - 4.0 * cosine, cosine)


def _compute(views: Sequence[ViewEmbeddings], settings: BYOLSettings) -> dict[str, tf.Tensor]:
    return mean_over_pairs(lambda a, b: byol_loss(a, b)._asdict(), views)


BYOL = Loss(
    "byol",
    BYOLSettings,
    ("cosine",),
    _compute,
    parts=lambda settings: Parts(predictor=settings.predictor, target="moving_average", momentum=settings.momentum),
)
