"""`barlowtf pretrain`, top to bottom: recipe -> strategy -> data -> model -> training."""

import logging
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console

from barlowtf import data, runs
from barlowtf.config import Recipe
from barlowtf.distribute import make_strategy
from barlowtf.errors import DataError
from barlowtf.experiment.parts import (
    count_steps_per_epoch,
    make_batches,
    make_callbacks,
    make_model,
    open_training_data,
    use_xla,
)
from barlowtf.models import BarlowTwins
from barlowtf.models.memory import estimate_memory
from barlowtf.train import checkpoint, loop, record

_LOG = logging.getLogger("barlowtf")
_OPTIMIZER_SLOTS = {"lars": 1, "sgd": 1, "lamb": 2, "adamw": 2}


def pretrain(
    recipe: Recipe,
    run_dir: str | Path,
    *,
    strategy: str = "one",
    replicas: int | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Pre-trains an encoder without labels; resumes where the folder holds an unfinished run of the recipe.

    Args:
        recipe: See `barlowtf.config.load_recipe`.
        run_dir: The run folder; see `barlowtf.runs` for what it will hold.
        strategy: "one" or "mirrored".
        replicas: With "mirrored": so many logical CPU devices, on a machine without GPUs.
        console: Where the progress bar is drawn; None: standard error.

    Returns:
        What run.json holds.

    Raises:
        BarlowTFError: Input, run folder, machine or numbers do not allow the run to start or to go on.
    """
    chosen = make_strategy(strategy, replicas)
    source = open_training_data(recipe)
    steps_per_epoch = count_steps_per_epoch(recipe, source, chosen)
    run = runs.open_run(run_dir, recipe)
    with runs.locked(run):
        if run.finished:
            _LOG.info("%s is finished: nothing to do.", run.path)
            return run.read_info()
        if recipe.train.deterministic:
            tf.config.experimental.enable_op_determinism()
        with chosen.scope():
            model = make_model(recipe, steps_per_epoch)
        return _train(recipe, run, chosen, source, model, steps_per_epoch, console or Console(stderr=True))


def _train(
    recipe: Recipe,
    run: runs.RunFolder,
    strategy: tf.distribute.Strategy,
    source: data.Source,
    model: BarlowTwins,
    steps_per_epoch: int,
    console: Console,
) -> dict[str, Any]:
    total_steps = recipe.train.epochs * steps_per_epoch
    start_step = checkpoint.restore_state(run.checkpoints, checkpoint.training_state(model))
    # A run that starts at step 0 measures the random encoder anew.
    runs.forget_after(run.metrics, start_step if start_step else -1)
    before = run.read_info()
    info = {
        "status": "running",
        "data": {"source": recipe.data.source, "images": source.size, "fingerprint": source.fingerprint},
        "steps": {"total": total_steps, "per_epoch": steps_per_epoch},
        "parameters": model.count_params(),
        **record.describe_surroundings(strategy),
    }
    runs.write_json(run.info, {**before, **info})
    if start_step:
        _LOG.info("Resuming %s after step %d of %d.", run.path, start_step, total_steps)

    started = time.monotonic()
    callbacks = make_callbacks(recipe, run, source, strategy, console)
    try:
        loop.train(
            model,
            loop.compile_step(model, strategy, xla=use_xla(recipe, strategy)),
            make_batches(recipe, source, strategy, start_step, total_steps),
            start_step=start_step,
            total_steps=total_steps,
            steps_per_epoch=steps_per_epoch,
            callbacks=callbacks,
        )
    finally:
        for callback in callbacks:
            if hasattr(callback, "close"):
                callback.close()
    save_encoder(model.encoder, run.encoder)
    result = {
        **info,
        "status": "finished",
        "wall_seconds": round(before.get("wall_seconds", 0.0) + time.monotonic() - started, 1),
        "peak_memory_bytes": record.peak_memory_bytes(),
        "result": summarize(run),
    }
    runs.write_json(run.info, result)
    return result


def plan(recipe: Recipe, *, strategy: str = "one", replicas: int | None = None) -> dict[str, Any]:
    """Returns what a run would do, without training: steps, parameters, learning rates, memory."""
    chosen = make_strategy(strategy, replicas)
    source = data.open_source(recipe.data.source, "train")
    steps_per_epoch = count_steps_per_epoch(recipe, source, chosen)
    model = make_model(recipe, steps_per_epoch)
    rate = recipe.train.batch_size / 256
    bias_rate = recipe.optimizer.bias_learning_rate or recipe.optimizer.learning_rate
    memory = estimate_memory(
        model.encoder,
        model.projector,
        images=recipe.train.batch_size // chosen.num_replicas_in_sync,
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


def save_encoder(encoder: keras.Model, path: Path) -> None:
    """Saves an encoder as a `.keras` file, whole or not at all."""
    aside = path.with_name(f".{path.name}")
    encoder.save(aside.with_suffix(".keras"))
    aside.with_suffix(".keras").replace(path)


def summarize(run: runs.RunFolder) -> dict[str, Any]:
    """Returns the figures of a run that a reader wants first, from its metrics."""
    records = runs.read_json_lines(run.metrics)

    def column(name: str) -> list[float]:
        return [record[name] for record in records if name in record]

    knn, losses, speeds = column("knn_top1"), column("loss"), column("images_per_second")
    return {
        "knn_top1_random_encoder": knn[0] if knn else None,
        "knn_top1": knn[-1] if knn else None,
        "loss": losses[-1] if losses else None,
        "images_per_second_median": round(float(np.median(speeds)), 2) if speeds else None,
    }
