"""SimSiam: each view's prediction is to point where the other view's embedding points, which gets no gradient."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf
from pydantic import Field

from barlowtf.config.section import Count, Section
from barlowtf.losses.contract import Loss, Parts, ViewEmbeddings, mean_over_pairs
from barlowtf.losses.cosine import mean_cosine


class SimSiamSettings(Section):
    """The predictor."""

    predictor: tuple[Count, ...] = Field((512,), description="widths of the predictor's hidden layers")


class CosineTerms(NamedTuple):
    """The loss and the mean cosine of predictions and targets, float32 scalars of the global batch."""

    total: tf.Tensor
    cosine: tf.Tensor


def symmetric_cosine(view_a: ViewEmbeddings, view_b: ViewEmbeddings) -> tf.Tensor:
    """Returns the mean cosine of each view's prediction and the other's target; a local view only predicts.

    Args:
        view_a: A full view with prediction and target, float [n, D].
        view_b: Another one, or a local view, which has no target.
    """
    of_b = mean_cosine(view_b.prediction, view_a.target)
    return of_b if view_b.local else (of_b + mean_cosine(view_a.prediction, view_b.target)) / 2.0


def simsiam_loss(view_a: ViewEmbeddings, view_b: ViewEmbeddings) -> CosineTerms:
    """SimSiam's loss of two views, from -1 to 1.

    Args:
        view_a: As of `symmetric_cosine`.
        view_b: As of `symmetric_cosine`.

    Source: arXiv:2011.10566, eq. 1 and 2; facebookresearch/simsiam main_simsiam.py.
    """
    cosine = symmetric_cosine(view_a, view_b)
    return CosineTerms(-cosine, cosine)


def _compute(views: Sequence[ViewEmbeddings], settings: SimSiamSettings) -> dict[str, tf.Tensor]:
    return mean_over_pairs(lambda a, b: simsiam_loss(a, b)._asdict(), views)


SIMSIAM = Loss(
    "simsiam",
    SimSiamSettings,
    ("cosine",),
    _compute,
    parts=lambda settings: Parts(predictor=settings.predictor, target="stop_gradient"),
)
