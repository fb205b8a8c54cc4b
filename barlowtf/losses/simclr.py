"""SimCLR's contrastive loss, NT-Xent: of all other views in the batch, which one is of the same image?

Letters: n images on this replica, N in the global batch; U the 2N embeddings of both views, of length 1; t the
temperature. For each of the 2N rows i with its partner p(i)

    loss_i = -U_i U_p(i) / t + log sum over j != i of exp(U_i U_j / t)
           = softplus(log sum over j != i, p(i) of exp(U_i U_j / t) - U_i U_p(i) / t)

The second form loses no digits where the loss is far smaller than its two terms. Each replica computes the rows of its
own 2n views against all 2N.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf
from pydantic import Field

from barlowtf.config.section import Positive, Section
from barlowtf.distribute.collectives import all_gather, all_reduce_sum, replica_count, replica_index
from barlowtf.losses.contract import Loss, ViewEmbeddings, check_embeddings, mean_over_pairs
from barlowtf.losses.cosine import unit
from barlowtf.losses.standardize import global_batch_size

# Takes a row's own entry and its partner's out of the sum: exp of it is 0 in float32.
_NEVER = -1e9


class SimCLRSettings(Section):
    """The temperature."""

    temperature: Positive = Field(0.5, description="cosines are divided by it; the paper's for CIFAR-10: 0.5")


class SimCLRTerms(NamedTuple):
    """The loss and its two terms, float32 scalars of the global batch; total = attraction + repulsion."""

    total: tf.Tensor
    attraction: tf.Tensor
    repulsion: tf.Tensor


def simclr_loss(z_a: tf.Tensor, z_b: tf.Tensor, *, temperature: float = 0.5) -> SimCLRTerms:
    """NT-Xent loss of two batches of embeddings, inside and outside a replica context.

    Args:
        z_a: Embeddings of view a, float [n, D], n = this replica's share of the global batch N.
        z_b: Embeddings of view b, like `z_a`.
        temperature: t, > 0. Default: the paper's for CIFAR-10 (appendix B.9); for ImageNet it is 0.1.

    Returns:
        SimCLRTerms(total, attraction, repulsion): means over all 2N views. google-research/simclr adds the means over
        the views a and the views b: twice as much. Computed in float32 whatever the inputs' precision; gradients as of
        `barlow_twins_loss`.

    Raises:
        ValueError: Shapes differ or are not [n, D], or N < 2.

    Source: arXiv:2002.05709, eq. 1 and algorithm 1.
    """
    z_a, z_b = tf.convert_to_tensor(z_a), tf.convert_to_tensor(z_b)
    check_embeddings(z_a, z_b, replica_count())
    a, b = unit(z_a), unit(z_b)
    everyone = tf.concat([all_gather(a), all_gather(b)], axis=0)  # [2N, D]
    examples = global_batch_size(z_a)
    places = _own_places(tf.shape(z_a)[0], tf.cast(examples, tf.int32))
    partners = tf.reduce_sum(a * b, axis=1) / temperature  # [n], the same in both directions
    rows = tf.add_n([tf.nn.softplus(_log_sums(own, everyone, places, temperature) - partners) for own in (a, b)])
    total = all_reduce_sum(tf.reduce_sum(rows)) / (2.0 * examples)
    attraction = -all_reduce_sum(tf.reduce_sum(partners)) / examples
    return SimCLRTerms(total, attraction, total - attraction)


def _own_places(count: tf.Tensor, examples: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns which of the 2N rows are this replica's views a, and its views b, int32 [n]."""
    start: tf.Tensor | int = 0
    if replica_count() > 1:
        counts = all_gather(count[tf.newaxis])
        start = tf.reduce_sum(tf.where(tf.range(replica_count()) < replica_index(), counts, 0))
    places = start + tf.range(count)
    return places, places + examples


def _log_sums(
    own: tf.Tensor, everyone: tf.Tensor, places: tuple[tf.Tensor, tf.Tensor], temperature: float
) -> tf.Tensor:
    """Returns for each own view the logarithm of the sum over the views of other images, float32 [n]."""
    logits = tf.matmul(own, everyone, transpose_b=True) / temperature  # [n, 2N]
    rows = tf.range(tf.shape(everyone)[0])
    of_image = (rows == places[0][:, tf.newaxis]) | (rows == places[1][:, tf.newaxis])
    return tf.reduce_logsumexp(tf.where(of_image, _NEVER, logits), axis=1)


def _compute(views: Sequence[ViewEmbeddings], settings: SimCLRSettings) -> dict[str, tf.Tensor]:
    return mean_over_pairs(lambda a, b: simclr_loss(a.z, b.z, temperature=settings.temperature)._asdict(), views)


def _memory(images: int, width: int, settings: SimCLRSettings) -> int:
    """Embeddings, embeddings of length 1 and gradients of two views; the logits and their gradient."""
    return 6 * images * width + 8 * images**2


SIMCLR = Loss("simclr", SimCLRSettings, ("attraction", "repulsion"), _compute, memory=_memory)
