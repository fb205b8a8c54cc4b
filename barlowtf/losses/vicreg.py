"""VICReg: invariance, variance and covariance terms of two views' embeddings.

Letters: n examples on this replica, N in the global batch, D dimensions; z_a and z_b the embeddings, [N, D]; X a view's
embeddings less their mean, divided by sqrt(N - 1); K = X^T X their covariance matrix, [D, D].

The covariance term needs sum_{i != j} K_ij^2, and there are two exact ways to it:

1. K itself: 2 N D^2 operations forward and backward each, and D^2 values.
2. sum_ij K_ij^2 = |X X^T|^2, less the squared variances: 2 N^2 D operations each, and N^2 values. Each replica makes
   its own n rows of X X^T.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf
from pydantic import Field

from barlowtf.config.section import NonNegative, Section
from barlowtf.distribute.collectives import all_gather, all_reduce_sum, replica_count
from barlowtf.losses.contract import Loss, ViewEmbeddings, check_embeddings, mean_over_pairs
from barlowtf.losses.standardize import global_batch_size

# Added to the variance before its root; the authors' code.
EPSILON = 1e-4


class VICRegTerms(NamedTuple):
    """The loss and its three unweighted terms, float32 scalars of the global batch."""

    total: tf.Tensor
    invariance: tf.Tensor
    variance: tf.Tensor
    covariance: tf.Tensor


class VICRegSettings(Section):
    """Weights of the three terms."""

    invariance: NonNegative = Field(25.0, description="weight of the invariance term")
    variance: NonNegative = Field(25.0, description="weight of the variance term")
    covariance: NonNegative = Field(1.0, description="weight of the covariance term")


def vicreg_loss(
    z_a: tf.Tensor, z_b: tf.Tensor, *, invariance: float = 25.0, variance: float = 25.0, covariance: float = 1.0
) -> VICRegTerms:
    """VICReg loss of two batches of embeddings, inside and outside a replica context.

    Args:
        z_a: Embeddings of view a, float [n, D], n = this replica's share of the global batch N.
        z_b: Embeddings of view b, like `z_a`.
        invariance: Weight of the mean squared difference of the views, >= 0. Default: the paper.
        variance: Weight of the mean of max(0, 1 - sqrt(variance + 1e-4)) over both views and all dimensions, >= 0.
            Default: the paper.
        covariance: Weight of the sum of squared off-diagonal covariances, divided by D and added over the views, >= 0.
            Default: the paper.

    Returns:
        VICRegTerms(total, invariance, variance, covariance): the terms are not yet multiplied by their weights.
        Computed in float32 whatever the inputs' precision; gradients as of `barlow_twins_loss`.

    Raises:
        ValueError: Shapes differ or are not [n, D], or N < 2.

    Source: arXiv:2105.04906, eq. 1 to 6; facebookresearch/vicreg main_vicreg.py, VICReg.forward, which averages the
    variance term over the views and adds the covariance term.
    """
    z_a, z_b = tf.convert_to_tensor(z_a), tf.convert_to_tensor(z_b)
    check_embeddings(z_a, z_b, replica_count())
    z_a, z_b = tf.cast(z_a, tf.float32), tf.cast(z_b, tf.float32)
    examples, width = global_batch_size(z_a), tf.cast(tf.shape(z_a)[1], tf.float32)
    difference = all_reduce_sum(tf.reduce_sum(tf.math.squared_difference(z_a, z_b))) / (examples * width)
    (variance_a, covariance_a), (variance_b, covariance_b) = (_spread(z, examples) for z in (z_a, z_b))
    terms = difference, (variance_a + variance_b) / 2.0, covariance_a + covariance_b
    weights = invariance, variance, covariance
    return VICRegTerms(tf.add_n([weight * term for weight, term in zip(weights, terms, strict=True)]), *terms)


def _spread(z: tf.Tensor, examples: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Variance and covariance term of one view, float32 [n, D]."""
    centered = z - all_reduce_sum(tf.reduce_sum(z, axis=0)) / examples
    x = centered * tf.math.rsqrt(examples - 1.0)
    variances = all_reduce_sum(tf.reduce_sum(tf.square(x), axis=0))  # [D]
    variance = tf.reduce_mean(tf.nn.relu(1.0 - tf.sqrt(variances + EPSILON)))
    known = None if z.shape[0] is None else z.shape[0] * replica_count()
    squares = _squares_by_gram if gram_is_cheaper(known, z.shape[1]) else _squares_by_covariance
    return variance, squares(x) / tf.cast(tf.shape(z)[1], tf.float32)


def gram_is_cheaper(examples: int | None, dimensions: int | None) -> bool:
    """Whether the N x N matrix costs less than the D x D one: N <= D, and where either is unknown."""
    return examples is None or dimensions is None or examples <= dimensions


@tf.custom_gradient
def _squares_by_covariance(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Sum of squared off-diagonal entries of K, by K. Its gradient by X is 4 X K without the diagonal."""
    covariances = all_reduce_sum(tf.matmul(x, x, transpose_a=True))
    covariances = tf.linalg.set_diag(covariances, tf.zeros_like(covariances[0]))
    squares = 2.0 * tf.nn.l2_loss(covariances)
    return squares, lambda factor: tf.matmul(x * (4.0 * all_reduce_sum(factor)), covariances)


@tf.custom_gradient
def _squares_by_gram(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """The same by X X^T: the squared variances are taken away, in the gradient 4 (X X^T X - X diag(K)) too."""
    all_x = all_gather(x)  # [n, D] -> [N, D]
    gram = tf.einsum("nd,md->nm", x, all_x)  # [n, N]
    variances = all_reduce_sum(tf.reduce_sum(tf.square(x), axis=0))
    squares = all_reduce_sum(2.0 * tf.nn.l2_loss(gram)) - tf.reduce_sum(tf.square(variances))

    def gradient(factor: tf.Tensor) -> tf.Tensor:
        factor = 4.0 * all_reduce_sum(factor)
        return tf.matmul(gram * factor, all_x) - x * (factor * variances)

    return squares, gradient


def _compute(views: Sequence[ViewEmbeddings], settings: VICRegSettings) -> dict[str, tf.Tensor]:
    weights: dict[str, Any] = settings.model_dump()
    return mean_over_pairs(lambda a, b: vicreg_loss(a.z, b.z, **weights)._asdict(), views)


def _memory(images: int, width: int, settings: VICRegSettings) -> int:
    """Embeddings, centered embeddings and gradients of two views, and a square matrix of each."""
    return 6 * images * width + 2 * min(images, width) ** 2


VICREG = Loss("vicreg", VICRegSettings, ("invariance", "variance", "covariance"), _compute, memory=_memory)
