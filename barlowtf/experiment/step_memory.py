"""What a training step of a recipe takes of a replica's memory, and whether the machine has it."""

import functools
import logging
from collections.abc import Mapping

import numpy as np

from barlowtf.choosing import Machine
from barlowtf.config import Recipe
from barlowtf.encoders.building import build_encoder
from barlowtf.errors import ConfigError
from barlowtf.models import BarlowTwins
from barlowtf.models.memory import estimate_memory

_LOG = logging.getLogger("barlowtf")
# TensorFlow, the input and the process itself on a processor: benchmarks/results/memory.json.
_FRAMEWORK_BYTES = 1_100_000_000
# The estimate may be wrong by a quarter; what is so far beyond the memory cannot fit.
_CERTAIN = 1.5
# More than any encoder keeps for one value of a view: below it nothing needs to be estimated.
_MOST_VALUES = 10_000


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


def host_memory(parts: Mapping[str, int]) -> int:
    """Returns what a run takes of the machine's memory beside the step, bytes: the framework, and the copy for saves.

    Args:
        parts: See `estimate_step_memory`.
    """
    return _FRAMEWORK_BYTES + parts["weights"] + parts["optimizer"]


def require_memory(recipe: Recipe, model: BarlowTwins, replicas: int, machine: Machine) -> None:
    """Warns where a step takes more memory than there is, by the estimate, and refuses what is far beyond it.

    Args:
        recipe: The recipe.
        model: Its model, compiled.
        replicas: Number of replicas that share a batch.
        machine: Where it is to run. Replicas without GPUs share its memory.

    Raises:
        ConfigError: The estimate is more than half as much again as there is.
    """
    there = machine.gpu_memory or machine.memory
    batch, size = recipe.train.batch_size * recipe.train.pairs, recipe.augment.size
    views = (2 + recipe.augment.local.count) * batch * size * size * recipe.data.channels
    of_loss = model.bound_loss.memory(batch, model.projector.output_shape[-1])
    if 4 * (_MOST_VALUES * views + 6 * model.count_params() + of_loss) < there:
        return
    parts = estimate_step_memory(recipe, model, replicas)
    needed = sum(parts.values())
    if not machine.gpus:
        needed = needed * replicas + host_memory(parts)
    if needed <= there:
        return
    text = (
        f"a step of {recipe.train.batch_size} images of {size} pixels takes about {needed / 1e9:.1f} GB, and "
        f"{'the GPU' if machine.gpus else 'this machine'} has {there / 1e9:.1f} GB. Use a smaller train.batch_size or "
        "augment.size, a smaller encoder or projector, or train.micro_batch."
    )
    if needed > _CERTAIN * there:
        raise ConfigError(f"Not enough memory: {text}")
    _LOG.warning("Perhaps not enough memory: %s", text)


def _optimizer_slots(model: BarlowTwins) -> int:
    """Returns the number of values that the optimizer keeps for each trainable parameter."""
    kept = sum(int(np.prod(variable.shape)) for variable in model.optimizer.variables)
    return kept // sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
