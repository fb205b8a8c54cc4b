"""FroSSL: the views of an image agree, and the logarithm of the Frobenius norm of each view's covariance is small.

Letters: V views, N examples in the global batch, D dimensions; X the embeddings of a view, each dimension divided by
its length over the batch, so that X^T X has ones on its diagonal; M the mean of X over the views.

    loss = sum over views of log |X^T X / D|^2  +  w V sum over views of |X - M|^2 / N

The least norm for a given trace belongs to equal eigenvalues: the dimensions of an embedding are then uncorrelated.
|X^T X|^2 = |X X^T|^2 has the two exact forms of `barlowtf.losses.squares`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf
from pydantic import Field

from barlowtf.config.section import NonNegative, Section
from barlowtf.distribute.collectives import all_reduce_sum, replica_count
from barlowtf.losses.contract import Loss, ViewEmbeddings, check_embeddings
from barlowtf.losses.squares import chosen_form, sum_of_squares
from barlowtf.losses.standardize import global_batch_size

# Shortest length of a dimension over the batch that is divided by.
_SHORTEST = 1e-12


class FroSSLSettings(Section):
    """The weight of the invariance term."""

    invariance: NonNegative = Field(1.0, description="weight of the invariance term")


class FroSSLTerms(NamedTuple):
    """The loss and its terms, float32 scalars of the global batch; the invariance term is not yet weighted."""

    total: tf.Tensor
    invariance: tf.Tensor
    norm: tf.Tensor


def frossl_loss(*views: tf.Tensor, invariance: float = 1.0) -> FroSSLTerms:
    """FroSSL's loss of the embeddings of two views or more, inside and outside a replica context.

    Args:
        *views: Embeddings of each view, float [n, D], n = this replica's share of the global batch N.
        invariance: Weight of the invariance term, >= 0. Default: the authors' code for two views.

    Returns:
        FroSSLTerms(total, invariance, norm). Computed in float32 whatever the inputs' precision; gradients as of
        `barlow_twins_loss`.

    Raises:
        ValueError: There are fewer than two views, shapes differ or are not [n, D], or N < 2.

    Source: arXiv:2310.02903; OFSkean/FroSSL solo/losses/frossl.py, the form for several views, which divides each
        dimension by its length and centers nothing.
    """
    if len(views) < 2:
        raise ValueError(f"Invalid views: received {len(views)}, expected at least 2.")
    embeddings = [tf.convert_to_tensor(z) for z in views]
    for z in embeddings[1:]:
        check_embeddings(embeddings[0], z, replica_count())
    columns = [_unit_columns(tf.cast(z, tf.float32)) for z in embeddings]
    examples, width = global_batch_size(columns[0]), tf.cast(tf.shape(columns[0])[1], tf.float32)
    norm = tf.add_n([_log_norm(x, examples, width) for x in columns])
    mean = tf.add_n(columns) / float(len(columns))
    squares = tf.add_n([tf.reduce_sum(tf.math.squared_difference(x, mean)) for x in columns])
    apart = len(columns) * all_reduce_sum(squares) / examples
    return FroSSLTerms(norm + invariance * apart, apart, norm)


def _unit_columns(z: tf.Tensor) -> tf.Tensor:
    """Divides each dimension by its length over the global batch."""
    squares = all_reduce_sum(tf.reduce_sum(tf.square(z), axis=0))
    return z * tf.math.rsqrt(tf.maximum(squares, _SHORTEST**2))


def _log_norm(x: tf.Tensor, examples: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Returns log |X^T X / D|^2."""
    return tf.math.log(sum_of_squares(x, x, chosen_form("auto", x)) * tf.square(examples / width))


def _compute(views: Sequence[ViewEmbeddings], settings: FroSSLSettings) -> dict[str, tf.Tensor]:
    return frossl_loss(*(view.z for view in views), invariance=settings.invariance)._asdict()


def _memory(images: int, width: int, settings: FroSSLSettings) -> int:
    """Embeddings, those of length 1 and gradients of two views, and a square matrix of each."""
    return 6 * images * width + 2 * min(images, width) ** 2


FROSSL = Loss("frossl", FroSSLSettings, ("invariance", "norm"), _compute, memory=_memory)
