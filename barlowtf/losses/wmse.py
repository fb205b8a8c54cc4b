"""W-MSE: the whitened views of an image agree.

Letters: N examples in the global batch, D dimensions; X a view's embeddings less their mean, [N, D];
K = X^T X / (N - 1) their covariance. With K = L L^T, L lower triangular, the rows of W = X L^-T have the identity as
covariance, and so cannot collapse. The loss is the mean squared distance of two views' rows of W, each divided by its
length.
"""

from collections.abc import Sequence

import tensorflow as tf
from pydantic import Field

from barlowtf.config.section import Probability, Section
from barlowtf.distribute.collectives import all_reduce_sum, replica_count
from barlowtf.losses.contract import Loss, Parts, ViewEmbeddings, check_embeddings, mean_over_pairs
from barlowtf.losses.cosine import mean_cosine
from barlowtf.losses.simsiam import CosineTerms
from barlowtf.losses.standardize import global_batch_size


class WMSESettings(Section):
    """The share of the identity."""

    identity: Probability = Field(
        0.0, description="share of the identity in the covariance that whitens; 0 needs more images than dimensions"
    )


def whiten(z: tf.Tensor, *, identity: float = 0.0) -> tf.Tensor:
    """Returns embeddings whose covariance over the global batch is the identity, inside and outside a replica context.

    Args:
        z: Embeddings, float [n, D], n = this replica's share of the global batch N.
        identity: e in [0, 1]: L L^T is (1 - e) K + e times the identity. Default: the paper.

    Returns:
        float32 [n, D], whatever the precision of `z`. The gradient includes the paths through mean and covariance; on
        several replicas it is as that of `barlow_twins_loss`.

    Raises:
        ValueError: `z` is not of rank 2, N < 2 or, where e is 0, N <= D: the covariance has no inverse.
    """
    z = tf.convert_to_tensor(z)
    check_embeddings(z, z, replica_count())
    examples, width = z.shape[0], z.shape[1]
    if identity == 0.0 and examples is not None and width is not None and examples * replica_count() <= width:
        raise ValueError(
            f"Invalid global batch: received {examples * replica_count()} examples of {width} dimensions, expected "
            "more examples than dimensions, whose covariance has no inverse otherwise."
        )
    z = tf.cast(z, tf.float32)
    count = global_batch_size(z)
    centered = z - all_reduce_sum(tf.reduce_sum(z, axis=0)) / count
    covariance = all_reduce_sum(tf.matmul(centered, centered, transpose_a=True)) / (count - 1.0)
    covariance = (1.0 - identity) * covariance + identity * tf.eye(tf.shape(z)[1])
    factor = tf.linalg.cholesky(covariance)
    return tf.transpose(tf.linalg.triangular_solve(factor, tf.transpose(centered)))


def wmse_loss(z_a: tf.Tensor, z_b: tf.Tensor, *, identity: float = 0.0) -> CosineTerms:
    """W-MSE loss of two batches of embeddings.

    Args:
        z_a: Embeddings of view a, as of `whiten`.
        z_b: Embeddings of view b, like `z_a`.
        identity: As of `whiten`.

    Returns:
        CosineTerms: total from 0 to 4, 2 - 2 times the mean cosine.

    Raises:
        ValueError: As `whiten`, or the shapes differ.

    Source: arXiv:2007.06346, eq. 6; lightly loss/wmse_loss.py. Differs from htdt/self-supervised because each view is
        whitened by the whole global batch, not by parts of it drawn several times, and by a factor of its own.
    """
    check_embeddings(tf.convert_to_tensor(z_a), tf.convert_to_tensor(z_b), replica_count())
    return _distance(*(whiten(z, identity=identity) for z in (z_a, z_b)))


def _distance(white_a: tf.Tensor, white_b: tf.Tensor) -> CosineTerms:
    cosine = mean_cosine(white_a, white_b)
    return CosineTerms(2.0 - 2.0 * cosine, cosine)


def _compute(views: Sequence[ViewEmbeddings], settings: WMSESettings) -> dict[str, tf.Tensor]:
    white = [view._replace(z=whiten(view.z, identity=settings.identity)) for view in views]
    return mean_over_pairs(lambda a, b: _distance(a.z, b.z)._asdict(), white)


def _memory(images: int, width: int, settings: WMSESettings) -> int:
    """Embeddings, centered and whitened ones and gradients of two views; covariance, factor and gradients of each."""
    return 12 * images * width + 8 * width**2


WMSE = Loss(
    "wmse",
    WMSESettings,
    ("cosine",),
    _compute,
    parts=lambda settings: Parts(full_rank=settings.identity == 0.0),
    memory=_memory,
)
