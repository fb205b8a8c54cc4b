"""LeJEPA: the views of an image agree, and SIGReg keeps the embeddings distributed as standard normal ones.

Letters: V views, N examples in the global batch, D dimensions; A the unit vectors of M random directions, [M, D]; x the
projections of a view's embeddings on a direction, [N]. If the embeddings are standard normal, x is so in every
direction, and the mean of exp(i t x) is exp(-t^2 / 2). SIGReg is the statistic of Epps and Pulley, averaged over views
and directions:

    N * integral over t of exp(-t^2 / 2) * |mean over the examples of exp(i t x) - exp(-t^2 / 2)|^2
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from pydantic import Field

from barlowtf.config.section import Probability, Section, Width
from barlowtf.distribute.collectives import all_reduce_sum, replica_count
from barlowtf.losses.contract import Loss, Parts, ViewEmbeddings, check_embeddings
from barlowtf.losses.standardize import global_batch_size

# The integral by the trapezoidal rule on [0, 3], doubled because the integrand is even; the authors' code.
_KNOTS, _LAST = 17, 3.0


class LeJEPASettings(Section):
    """The weight of SIGReg, and its directions."""

    sigreg: Probability = Field(0.05, description="weight of SIGReg; the invariance term has 1 less this weight")
    directions: Width = Field(1024, description="number of random directions of a step, in which SIGReg projects")


class LeJEPATerms(NamedTuple):
    """The loss and its two unweighted terms, float32 scalars of the global batch."""

    total: tf.Tensor
    invariance: tf.Tensor
    sigreg: tf.Tensor


def sigreg(views: Sequence[tf.Tensor], directions: tf.Tensor) -> tf.Tensor:
    """Returns SIGReg of the embeddings of some views, a float32 scalar of the global batch, >= 0.

    Args:
        views: Embeddings of each view, float [n, D], n = this replica's share of the global batch N.
        directions: A, float32 [M, D], rows of length 1, equal on all replicas.

    Returns:
        About 1.06 for standard normal embeddings whatever N is; for others it grows with N. Computed in float32
        whatever the inputs' precision; gradients as of `barlow_twins_loss`.

    Raises:
        ValueError: There is no view, shapes differ or are not [n, D], or N < 2.

    Source: arXiv:2511.08544; rbalestr-lab/lejepa univariate/epps_pulley.py and multivariate/slicing.py.
    """
    if not views:
        raise ValueError("Invalid views: received none, expected at least 1.")
    embeddings = [tf.convert_to_tensor(z) for z in views]
    for z in embeddings:
        check_embeddings(embeddings[0], z, replica_count())
    examples = global_batch_size(embeddings[0])
    return tf.add_n([_epps_pulley(tf.cast(z, tf.float32), directions, examples) for z in embeddings]) / len(embeddings)


def _epps_pulley(z: tf.Tensor, directions: tf.Tensor, examples: tf.Tensor) -> tf.Tensor:
    """Returns the statistic of one view, averaged over the directions."""
    t = np.linspace(0.0, _LAST, _KNOTS)
    normal = np.exp(-(t**2) / 2.0)
    widths = np.full(_KNOTS, 2.0 * _LAST / (_KNOTS - 1))
    widths[[0, -1]] /= 2.0
    phases = tf.matmul(z, directions, transpose_b=True)[:, :, tf.newaxis] * tf.constant(t, tf.float32)  # [n, M, T]
    sums = tf.stack([tf.reduce_sum(tf.cos(phases), axis=0), tf.reduce_sum(tf.sin(phases), axis=0)])
    real, imaginary = tf.unstack(all_reduce_sum(sums) / examples)  # [M, T]
    errors = tf.math.squared_difference(real, tf.constant(normal, tf.float32)) + tf.square(imaginary)
    return examples * tf.reduce_mean(tf.linalg.matvec(errors, tf.constant(widths * normal, tf.float32)))


def lejepa_loss(
    full: Sequence[tf.Tensor], local: Sequence[tf.Tensor] = (), *, directions: tf.Tensor, weight: float = 0.05
) -> LeJEPATerms:
    """LeJEPA's loss of embeddings, inside and outside a replica context: (1 - weight) * invariance + weight * SIGReg.

    Args:
        full: Embeddings of each full view, float [n, D], n = this replica's share of the global batch N.
        local: Embeddings of each local view, like `full`.
        directions: As of `sigreg`.
        weight: Of SIGReg, in [0, 1]. Default: the authors' code.

    Returns:
        LeJEPATerms(total, invariance, sigreg): invariance is the mean squared difference of a view and the mean of the
        full ones; SIGReg is that of all views.

    Raises:
        ValueError: There is no full view, or there are fewer than two views; shapes differ or are not [n, D]; or N < 2.

    Source: arXiv:2511.08544; rbalestr-lab/lejepa MINIMAL.md, where all views are full.
    """
    if not full or len(full) + len(local) < 2:
        raise ValueError(
            f"Invalid views: received {len(full)} full and {len(local)} local ones, expected at least 2, one of them "
            "full."
        )
    views = [tf.convert_to_tensor(z) for z in (*full, *local)]
    normality = sigreg(views, directions)
    views = [tf.cast(z, tf.float32) for z in views]
    center = tf.add_n(views[: len(full)]) / float(len(full))
    squares = tf.add_n([tf.reduce_sum(tf.math.squared_difference(z, center)) for z in views])
    values = global_batch_size(center) * tf.cast(tf.shape(center)[1] * len(views), tf.float32)
    invariance = all_reduce_sum(squares) / values
    return LeJEPATerms((1.0 - weight) * invariance + weight * normality, invariance, normality)


def _compute(views: Sequence[ViewEmbeddings], settings: LeJEPASettings) -> dict[str, tf.Tensor]:
    """Returns the terms of `lejepa_loss`.

    Raises:
        ValueError: There are no directions.
    """
    directions = views[0].directions
    if directions is None:
        raise ValueError("Invalid views: received one without directions, expected those of the step.")
    full, local = ([view.z for view in views if view.local is kind] for kind in (False, True))
    return lejepa_loss(full, local, directions=directions, weight=settings.sigreg)._asdict()


def _memory(images: int, width: int, settings: LeJEPASettings) -> int:
    """Embeddings and gradients of two views; phases, cosines and sines; gradients of one view's; directions."""
    return 4 * images * width + 9 * images * settings.directions * _KNOTS + settings.directions * width


LEJEPA = Loss(
    "lejepa",
    LeJEPASettings,
    ("invariance", "sigreg"),
    _compute,
    parts=lambda settings: Parts(directions=settings.directions),
    memory=_memory,
)
