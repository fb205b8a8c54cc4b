"""What a run would do and what a data set holds, without training."""

from typing import Any

import numpy as np

from barlowtf import data
from barlowtf.config import Recipe
from barlowtf.distribute import make_strategy
from barlowtf.encoders.building import build_encoder, build_model
from barlowtf.errors import DataError
from barlowtf.experiment.pretraining.parts import count_steps_per_epoch
from barlowtf.models.memory import estimate_memory

_OPTIMIZER_SLOTS = {"lars": 1, "sgd": 1, "lamb": 2, "adamw": 2}


def plan(recipe: Recipe, *, strategy: str = "one", replicas: int | None = None) -> dict[str, Any]:
    """Returns what a run would do, without training: steps, parameters, learning rates, memory."""
    chosen = make_strategy(strategy, replicas)
    source = data.open_source(recipe.data.source, "train")
    steps_per_epoch = count_steps_per_epoch(recipe, source, chosen)
    model = build_model(recipe, steps_per_epoch)
    rate = recipe.train.batch_size / 256
    bias_rate = getattr(recipe.optimizer, "bias_learning_rate", None) or recipe.optimizer.learning_rate
    memory = estimate_memory(
        build_encoder(recipe, recipe.augment.size, dtype=recipe.train.precision, seed=recipe.train.seed),
        model.projector,
        loss=model.bound_loss,
        images=recipe.train.batch_size * recipe.train.pairs // chosen.num_replicas_in_sync,
        optimizer_slots=_OPTIMIZER_SLOTS[recipe.optimizer.name],
        activation_bytes=4 if recipe.train.precision == "float32" else 2,
    )
    return {
        "images": source.size,
        "labels": source.has_labels,
        "replicas": chosen.num_replicas_in_sync,
        "steps_per_epoch": steps_per_epoch,
        "total_steps": steps_per_epoch * recipe.train.epochs,
        "unseen_per_epoch": source.size - steps_per_epoch * recipe.train.batch_size,
        "encoder_parameters": model.encoder.count_params(),
        "projector_parameters": model.projector.count_params(),
        "peak_learning_rate": recipe.optimizer.learning_rate * rate,
        "peak_bias_learning_rate": bias_rate * rate,
        "memory_bytes_per_replica": memory,
    }


def describe_data(spec: str, split: str = "train") -> dict[str, Any]:
    """Returns what a data set holds: images, classes and their sizes, fingerprint.

    Raises:
        DataError: It cannot be read, or has no such split.
    """
    source = data.open_source(spec, split)
    if source is None:
        raise DataError(f"{spec} has no {split} split.")
    counts = np.bincount(source.labels) if source.has_labels else None
    return {
        "name": source.name,
        "images": source.size,
        "classes": None if counts is None else len(counts),
        "class_names": source.class_names,
        "images_per_class": None if counts is None else counts.tolist(),
        "fingerprint": source.fingerprint,
    }
