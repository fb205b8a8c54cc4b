"""SwAV: each view predicts which prototypes the other full views of its image are assigned to.

Letters: N examples in the global batch, K prototypes, t the temperature, e epsilon; S the cosines of a view's
embeddings and the prototypes, [N, K]. The code Q of a full view is exp(S / e) after a few rounds of Sinkhorn's
algorithm, which gives all prototypes the same sum over the batch and then each image the sum 1; it gets no gradient.
The loss is the mean, over the full views and over all other views, of the cross-entropy of the code of the first and
softmax(S / t) of the second:

    cross-entropy = entropy of the code + divergence of the prediction from the code
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf
from pydantic import Field

from barlowtf.config.section import Count, Positive, Section, Width
from barlowtf.distribute.collectives import all_reduce_sum, replica_count
from barlowtf.losses.contract import Loss, Parts, ViewEmbeddings, check_embeddings
from barlowtf.losses.standardize import global_batch_size


class SwAVSettings(Section):
    """The prototypes and the codes."""

    prototypes: Width = Field(3000, description="number of prototypes; far fewer for a small batch or few classes")
    temperature: Positive = Field(0.1, description="cosines are divided by it to predict a code")
    epsilon: float = Field(0.05, ge=0.02, le=1.0, description="cosines are divided by it to make a code; small: sharp")
    rounds: Count = Field(3, description="rounds of Sinkhorn's algorithm that make a code")
    freeze_prototypes: int = Field(
        313, ge=0, description="steps at the start in which the prototypes do not learn; the authors': one epoch"
    )


class SwAVTerms(NamedTuple):
    """The loss and its two terms, float32 scalars of the global batch; total = divergence + entropy."""

    total: tf.Tensor
    divergence: tf.Tensor
    entropy: tf.Tensor


def swav_loss(
    full: Sequence[tf.Tensor],
    local: Sequence[tf.Tensor] = (),
    *,
    temperature: float = 0.1,
    epsilon: float = 0.05,
    rounds: int = 3,
) -> SwAVTerms:
    """SwAV's loss of cosines with the prototypes, inside and outside a replica context.

    Args:
        full: For each full view the cosines of embeddings and prototypes, float [n, K] in [-1, 1], n = this replica's
            share of the global batch N.
        local: The same for each local view, whose code nothing predicts.
        temperature: t, > 0. Default: the paper.
        epsilon: e, >= 0.02: exp(1 / e) stays in the range of float32. Default: the paper.
        rounds: Rounds of Sinkhorn's algorithm, >= 1. Default: the paper.

    Returns:
        SwAVTerms(total, divergence, entropy): where all embeddings are one, the entropy is log K. Computed in float32
        whatever the inputs' precision; gradients as of `barlow_twins_loss`.

    Raises:
        ValueError: There is no full view, or there are fewer than two views; shapes differ or are not [n, K]; or N < 2.

    Source: arXiv:2006.09882, eq. 2 to 5; facebookresearch/swav main_swav.py. Differs from it because there is no queue
        of earlier embeddings: codes are those of the global batch alone.
    """
    views = [tf.convert_to_tensor(scores) for scores in (*full, *local)]
    if not full or len(views) < 2:
        raise ValueError(
            f"Invalid views: received {len(full)} full and {len(local)} local ones, expected at least 2, one of them "
            "full."
        )
    for scores in views[1:]:
        check_embeddings(views[0], scores, replica_count())
    views = [tf.cast(scores, tf.float32) for scores in views]
    examples = global_batch_size(views[0])
    codes = [assign(scores, epsilon=epsilon, rounds=rounds) for scores in views[: len(full)]]
    predictions = [tf.nn.log_softmax(scores / temperature, axis=1) for scores in views]
    entropies = [-tf.reduce_sum(tf.math.xlogy(code, code)) for code in codes]
    # Each code with the sum of the others' predictions: one product instead of one for each pair.
    everyone = tf.add_n(predictions)
    crossed = [
        -tf.reduce_sum(code * (everyone - own)) for code, own in zip(codes, predictions[: len(full)], strict=True)
    ]
    total = all_reduce_sum(tf.add_n(crossed)) / (examples * (len(views) - 1.0) * len(codes))
    entropy = all_reduce_sum(tf.add_n(entropies)) / (examples * len(codes))
    return SwAVTerms(total, total - entropy, entropy)


def assign(scores: tf.Tensor, *, epsilon: float = 0.05, rounds: int = 3) -> tf.Tensor:
    """Returns the code of each image by Sinkhorn's algorithm over the global batch, float32 [n, K], without gradient.

    Args:
        scores: As of `swav_loss`, float32 [n, K].
        epsilon: As of `swav_loss`.
        rounds: As of `swav_loss`.

    Returns:
        Numbers >= 0 whose sum over the prototypes is 1.
    """
    codes = tf.exp(tf.stop_gradient(scores) / epsilon)
    # The authors divide by the number of prototypes and of images, too, which the next division takes out again.
    for _ in range(rounds):
        codes /= all_reduce_sum(tf.reduce_sum(codes, axis=0))
        codes /= tf.reduce_sum(codes, axis=1, keepdims=True)
    return codes


def _compute(views: Sequence[ViewEmbeddings], settings: SwAVSettings) -> dict[str, tf.Tensor]:
    """Returns the terms of `swav_loss`.

    Raises:
        ValueError: A view has no scores.
    """
    full, local = ([view.scores for view in views if view.local is kind] for kind in (False, True))
    if any(scores is None for scores in (*full, *local)):
        raise ValueError("Invalid views: received one without scores, expected cosines with the prototypes.")
    return swav_loss(
        full, local, temperature=settings.temperature, epsilon=settings.epsilon, rounds=settings.rounds
    )._asdict()


def _memory(images: int, width: int, settings: SwAVSettings) -> int:
    """Embeddings, unit embeddings and gradients of two views; scores, codes, predictions, gradients; prototypes."""
    return 6 * images * width + 8 * images * settings.prototypes + 4 * settings.prototypes * width


SWAV = Loss(
    "swav",
    SwAVSettings,
    ("divergence", "entropy"),
    _compute,
    parts=lambda settings: Parts(prototypes=settings.prototypes, frozen_prototypes=settings.freeze_prototypes),
    memory=_memory,
)
