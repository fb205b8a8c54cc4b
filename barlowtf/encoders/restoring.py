"""Encoder and projector of a run from one of its checkpoints, whether the run is finished or not."""

from pathlib import Path
from typing import NamedTuple

import keras

from barlowtf import runs
from barlowtf.config import load_recipe
from barlowtf.encoders.building import build_parts
from barlowtf.errors import CheckpointError
from barlowtf.models import checkpoint


class Restored(NamedTuple):
    """What a checkpoint holds of a model."""

    encoder: keras.Model
    projector: keras.Model
    step: int


def restore_parts(run: runs.RunFolder, which: str) -> Restored:
    """Returns encoder and projector as they were at a checkpoint; no optimizer is built.

    Args:
        run: A run folder, finished or not.
        which: "latest", the last one that is whole; "best", the one that checkpoint.keep_best keeps; or the number of
            a step.

    Raises:
        CheckpointError: There is no such checkpoint, or it is damaged.
    """
    path = find_checkpoint(run, which)
    encoder, projector = build_parts(load_recipe(run.recipe))
    step = checkpoint.restore_weights(path, encoder, projector)
    return Restored(encoder, projector, step)


def find_checkpoint(run: runs.RunFolder, which: str) -> Path:
    """Returns the folder of a checkpoint, see `restore_parts`."""
    paths = checkpoint.list_checkpoints(run.best if which == "best" else run.checkpoints)
    steps = [checkpoint.step_of(path) for path in paths]
    if which in ("latest", "best"):
        for path in reversed(paths):
            if checkpoint.find_fault(path) is None:
                return path
    elif which.isdecimal() and int(which) in steps:
        return paths[steps.index(int(which))]
    if which == "best":
        raise CheckpointError(
            f"{run.path} has no whole checkpoint of its best epoch. Expected a run with checkpoint.keep_best."
        )
    there = ", ".join(map(str, steps)) or "none"
    raise CheckpointError(f"{run.path} has no whole checkpoint {which}. Expected latest, or one of its steps: {there}.")
