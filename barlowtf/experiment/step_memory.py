"""What a training step of a recipe takes of a replica's memory."""

import functools

import numpy as np

from barlowtf.config import Recipe
from barlowtf.encoders.building import build_encoder
from barlowtf.models import BarlowTwins
from barlowtf.models.memory import estimate_memory


def estimate_step_memory(recipe: Recipe, model: BarlowTwins, replicas: int) -> dict[str, int]:
    """Returns part of a training step -> its memory on one replica, bytes, by the shapes of the layers.

    Args:
        recipe: The recipe.
        model: Its model, compiled.
        replicas: Number of replicas that share a batch.
    """
    train = recipe.train
    images, local = (train.micro_batch or train.batch_size // replicas) * train.pairs, recipe.augment.local
    build = functools.partial(build_encoder, recipe, dtype=train.precision, seed=train.seed)
    parts = estimate_memory(
        build(recipe.augment.size),
        model.projector,
        loss=model.bound_loss,
        images=images,
        optimizer_slots=_optimizer_slots(model),
        activation_bytes=4 if train.precision == "float32" else 2,
        local_encoder=build(local.size) if local.count else None,
        local_images=images * local.count,
    )
    # Micro-batches go through the encoder; the loss sees all images.
    whole = train.batch_size * train.pairs // replicas
    return {**parts, "loss": 4 * model.bound_loss.memory(whole, model.projector.output_shape[-1])}


def _optimizer_slots(model: BarlowTwins) -> int:
    """Returns the number of values that the optimizer keeps for each trainable parameter."""
    kept = sum(int(np.prod(variable.shape)) for variable in model.optimizer.variables)
    return kept // sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
