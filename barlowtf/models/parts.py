"""The parts of a model that a loss asks for."""

from typing import NamedTuple

import keras

from barlowtf.losses import BoundLoss
from barlowtf.models.projector import make_projector
from barlowtf.models.prototypes import Prototypes
from barlowtf.models.target import copy_model


class ModelParts(NamedTuple):
    """What is trained or kept beside encoder and projector; None where the loss does not ask for it."""

    predictor: keras.Model | None
    prototypes: Prototypes | None
    target_encoder: keras.Model | None
    target_projector: keras.Model | None


def require_batching(pairs: int, local_views: int, micro_batch: int | None) -> None:
    """Raises ValueError for numbers of pairs, local views and images in a micro-batch that a model cannot take."""
    if pairs < 1 or (pairs > 1 and micro_batch is not None):
        raise ValueError(
            f"Invalid pairs: received {pairs} with micro_batch = {micro_batch}, expected at least 1, and 1 with "
            "micro_batch."
        )
    if local_views < 0 or (local_views > 0 and micro_batch is not None):
        raise ValueError(
            f"Invalid local_views: received {local_views} with micro_batch = {micro_batch}, expected at least 0, "
            "and 0 with micro_batch."
        )
    if micro_batch is not None and micro_batch < 1:
        raise ValueError(f"Invalid micro_batch: received {micro_batch}, expected None or at least 1.")


def make_parts(
    loss: BoundLoss,
    encoder: keras.Model,
    projector: keras.Model,
    *,
    micro_batch: int | None = None,
    total_steps: int | None = None,
) -> ModelParts:
    """Returns the parts that a loss asks for, new; the copies start equal to encoder and projector.

    A predictor has biases where the projector's last layer has one.

    Args:
        loss: See `barlowtf.losses.Parts`.
        encoder: Images -> features.
        projector: Features [n, d] -> embeddings [n, D].
        micro_batch: As of `BarlowTwins`.
        total_steps: As of `BarlowTwins`.

    Raises:
        ValueError: A moving average or mixtures beside `micro_batch`, or a momentum that changes without `total_steps`.
    """
    parts = loss.parts
    if parts.mixture and micro_batch is not None:
        raise ValueError(
            f"Invalid micro_batch: received {micro_batch} with the loss {loss.spec}, which mixes images, expected None."
        )
    width = projector.output_shape[-1]
    prototypes = None if parts.prototypes is None else Prototypes(width, parts.prototypes)
    predictor = None
    if parts.predictor is not None:
        end = projector.layers[-1]
        widths, bias, policy = (*parts.predictor, width), getattr(end, "use_bias", False), end.dtype_policy.name
        predictor = make_projector(width, widths, bias=bias, dtype=policy, name="predictor")
    if parts.target != "moving_average":
        return ModelParts(predictor, prototypes, None, None)
    if micro_batch is not None:
        raise ValueError(
            f"Invalid micro_batch: received {micro_batch} with the loss {loss.spec}, which needs a moving-average copy "
            "of the encoder, expected None."
        )
    first, last = parts.momentum
    if first != last and total_steps is None:
        raise ValueError(
            f"Invalid total_steps: received None with the loss {loss.spec}, expected the steps of the training: "
            f"its momentum goes from {first} to {last}."
        )
    return ModelParts(predictor, prototypes, copy_model(encoder), copy_model(projector))
