"""What a loss is: settings, a function of the embeddings, the names of its terms, and the parts that it needs.

::

    class Settings(Section):
        weight: float = Field(1.0, ge=0.0, description="weight of the second term")

    def compute(views, settings):
        return {"total": ..., "first": ..., "second": ...}

    MY_LOSS = Loss("my_loss", Settings, terms=("first", "second"), compute=compute)
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import tensorflow as tf

from barlowtf.config.section import Section

TOTAL = "total"
# Names that the logs of a step have already.
_RESERVED = (TOTAL, "loss", "gradient_norm", "first_nonfinite")


class Mixture(NamedTuple):
    """Embeddings of alpha * view a + (1 - alpha) * view b of another image, for this replica's images.

    The partner of an image is its neighbor in the batch: row 0 mixes with row 1, 1 with 0, 2 with 3. The order of the
    examples is random anyway, and so a partner lies on the same replica, however many there are.
    """

    z: tf.Tensor  # float [n, D], with gradient
    partners: tf.Tensor  # int32 [n], the row whose view b is mixed in
    alpha: tf.Tensor  # float32 [], in [0, 1), the same for all rows and replicas


class ViewEmbeddings(NamedTuple):
    """Embeddings of one view of this replica's images.

    A local view is a small crop. It has no target: local views predict full ones, and nothing predicts them.
    """

    z: tf.Tensor  # float [n, D], with gradient
    prediction: tf.Tensor | None = None  # float [n, D], with gradient; None without a predictor
    target: tf.Tensor | None = None  # float [n, D], without gradient; None without a target
    mixture: Mixture | None = None  # of a view a with the view b of its pair; None where `Parts.mixture` is off
    local: bool = False
    scores: tf.Tensor | None = None  # float32 [n, K], cosines of z and each prototype; None without prototypes
    directions: tf.Tensor | None = None  # float32 [M, D], see `Parts.directions`, the same in all views and replicas


@dataclass(frozen=True)
class Parts:
    """Extra parts of the model that a loss asks for.

    Attributes:
        predictor: Widths of the hidden layers that make the prediction of an embedding, each >= 1, followed by
            normalization and ReLU; the last layer is linear and as wide as the embedding. None: no predictor.
        target: "none"; "stop_gradient": the embedding itself, without gradient; "moving_average": the embedding by a
            copy of encoder and projector whose parameters follow the trained ones.
        momentum: First and last value of m, in [0, 1]: after step s of S the copy moves to
            m * copy + (1 - m) * trained, m = last - (last - first) * (cos(pi * s / S) + 1) / 2.
        mixture: Whether each view a is also embedded mixed with the view b of another image, see `Mixture`: a third
            pass through encoder and projector, with batch statistics of its own.
        prototypes: K >= 1, number of trained vectors of length 1 that embeddings are compared with. None: there are
            none.
        frozen_prototypes: Number of steps, >= 0, at the start of the training in which no gradient reaches them.
        directions: M >= 1, number of vectors of length 1 in uniform directions, drawn anew for each step. None: there
            are none.
        full_rank: Whether the global batch must have more images than the embeddings have dimensions.
    """

    predictor: tuple[int, ...] | None = None
    target: Literal["none", "stop_gradient", "moving_average"] = "none"
    momentum: tuple[float, float] = (0.996, 1.0)
    mixture: bool = False
    prototypes: int | None = None
    frozen_prototypes: int = 0
    directions: int | None = None
    full_rank: bool = False


Terms = Mapping[str, tf.Tensor]


def no_parts(settings: Any) -> Parts:
    """Returns the parts of a loss that needs encoder and projector only."""
    return Parts()


def two_embeddings_and_gradients(images: int, width: int, settings: Any) -> int:
    """Returns the float32 values of two batches of embeddings and of their gradients."""
    return 4 * images * width


@dataclass(frozen=True)
class Loss:
    """One entry of the table of losses.

    Attributes:
        name: In recipes and messages.
        settings: The keys that a recipe's [loss] takes beside `name`, with defaults for all.
        terms: Names of what `compute` returns beside "total"; they become the names of logs, columns and curves.
        compute: (views, settings) -> {"total": ..., TERM: ...}, float32 scalars of the global batch, equal on all
            replicas. `views` are the 2P full views of the P pairs, first those of side a, then the local views. Runs
            inside and outside a replica context; what needs all examples goes through
            `barlowtf.distribute.collectives`. The gradients must be those of the *sum* of the replicas' totals, which
            the collectives give by themselves.
        parts: settings -> extra parts of the model.
        memory: (images of this replica, width D, settings) -> number of float32 values at the peak, an estimate.
    """

    name: str
    settings: type[Section]
    terms: tuple[str, ...]
    compute: Callable[[Sequence[ViewEmbeddings], Any], Terms]
    parts: Callable[[Any], Parts] = no_parts
    memory: Callable[[int, int, Any], int] = two_embeddings_and_gradients

    def __post_init__(self) -> None:
        """Raises ValueError where a term has a name that the logs need."""
        for name in self.terms:
            if name in _RESERVED or self.terms.count(name) > 1:
                raise ValueError(
                    f"Invalid terms of the loss {self.name}: received {', '.join(self.terms)}, "
                    f"expected names without repetition, other than {', '.join(_RESERVED)}."
                )


def mean_over_pairs(
    pair_loss: Callable[[ViewEmbeddings, ViewEmbeddings], Terms], views: Sequence[ViewEmbeddings]
) -> dict[str, tf.Tensor]:
    """Returns each term of a loss of two views, averaged over all pairs of views of which at least one is full.

    F full and L local views make F (F - 1) / 2 + F L pairs, and each counts once. SwAV and DINO (arXiv:2006.09882,
    2104.14294) count a pair of full views twice, because there each view predicts the other.

    Args:
        pair_loss: Two views, the first one full -> terms, the same names for every pair.
        views: At least two full ones, before the local ones.
    """
    pairs = [pair for pair in itertools.combinations(views, 2) if not pair[0].local]
    of_pairs = [pair_loss(first, second) for first, second in pairs]
    return {name: tf.add_n([terms[name] for terms in of_pairs]) / len(of_pairs) for name in of_pairs[0]}


def check_embeddings(z_a: tf.Tensor, z_b: tf.Tensor, replicas: int) -> None:
    """Raises ValueError where two batches of embeddings are not of one shape [n, D], or N < 2 is known."""
    if z_a.shape.rank != 2 or z_b.shape.rank != 2 or not z_a.shape.is_compatible_with(z_b.shape):
        raise ValueError(
            f"Invalid embeddings: received shapes {z_a.shape} and {z_b.shape}, expected two equal shapes [n, D]."
        )
    if z_a.shape[0] is not None and z_a.shape[0] * replicas < 2:
        raise ValueError(
            f"Invalid global batch: received {z_a.shape[0]} example, expected at least 2. One example has no variance."
        )
