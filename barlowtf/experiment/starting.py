"""Where a run starts: from random weights, from given ones, or from the state of another run."""

import json
import logging
import math
import shlex
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from barlowtf import runs
from barlowtf.config import Parent, Recipe, dump_recipe, load_recipe, parse_overrides, recipe_differences, resolve
from barlowtf.config.load import NONE
from barlowtf.encoders.building import build_parts
from barlowtf.encoders.initial import origin_settings, read_initial
from barlowtf.encoders.restoring import find_checkpoint
from barlowtf.errors import CheckpointError, ConfigError
from barlowtf.models import checkpoint
from barlowtf.models.fingerprint import weights_sha256
from barlowtf.models.transfer import InitialWeights
from barlowtf.places import settled_path
from barlowtf.records import RunInfo, RunInit, RunParent

_LOG = logging.getLogger("barlowtf")
# What the state of a run belongs to, so that a run that goes on from it has the same.
_KEPT = (
    *("data.channels", "model.encoder", "model.stem", "loss.name", "optimizer.name"),
    *("model.projector", "model.projector_bias", "model.projector_normalization"),
)


@dataclass(frozen=True)
class Start:
    """What a run starts from; all None: from random weights, or it is resumed.

    Attributes:
        init: Record of the weights, also where the run is resumed.
        parent: Record of the run that it goes on from, also where it is resumed.
        weights: The weights.
        checkpoint: The checkpoint of the parent that is to be taken over.
    """

    init: RunInit | None = None
    parent: RunParent | None = None
    weights: InitialWeights | None = None
    checkpoint: Path | None = None

    def take_over(self, run: runs.RunFolder) -> None:
        """Copies the parent's checkpoint, where there is one to take over; the other workers wait until it is done."""
        if self.checkpoint is not None and self.parent is not None:
            checkpoint.copy_state(self.checkpoint, run.checkpoints)
            _LOG.info("Going on from %s after its step %d.", self.parent.run, self.parent.step)

    @property
    def sha256(self) -> str:
        """Of the encoder's weights; "" where they are random."""
        record = self.init or self.parent
        return "" if record is None else record.sha256


def find_start(recipe: Recipe, run: runs.RunFolder) -> Start:
    """Returns what a run starts from, read and found to fit; nothing is written.

    A run that has a checkpoint of its own goes on from there, and needs neither the weights nor the parent again.

    Raises:
        BarlowTFError: It cannot be read, does not fit, or is not what the run has started from before.
    """
    frozen, epochs = recipe.train.freeze_encoder_epochs, recipe.train.epochs
    if frozen >= epochs:
        raise ConfigError(
            f"Invalid train.freeze_encoder_epochs: received {frozen}, expected less than train.epochs = {epochs}."
        )
    before = run.read_info()
    if checkpoint.list_checkpoints(run.checkpoints):
        return Start() if before is None else Start(before.init, before.parent)
    if recipe.model.init is not None:
        weights, init = read_initial(recipe)
        start = Start(init=init, weights=weights)
    elif recipe.parent is not None:
        start = _start_of_parent(recipe, recipe.parent)
    else:
        return Start()
    _require_same_weights(run, before, start)
    return start


def _require_same_weights(run: runs.RunFolder, before: RunInfo | None, start: Start) -> None:
    """Raises CheckpointError where the weights in the same place are others now."""
    pairs = () if before is None else ((before.init, start.init), (before.parent, start.parent))
    for known, now in pairs:
        if known is not None and now is not None and _place(known) == _place(now) and known.sha256 != now.sha256:
            raise CheckpointError(
                f"{run.path} has started from other weights: sha256 {known.sha256[:8]} then, {now.sha256[:8]} now. "
                "Restore them, or choose another --run-dir."
            )


def _place(origin: RunInit | RunParent) -> str:
    return origin.spec if isinstance(origin, RunInit) else origin.run


def with_origin(overrides: Sequence[str]) -> tuple[str, ...]:
    """Returns overrides with encoder, stem and projector of their `model.init`, where they do not say them.

    Raises:
        ConfigError: An override has no such form, or the recipe beside the weights cannot be read.
    """
    given = parse_overrides(overrides)
    init = given.get("model.init")
    known = {} if init is None else origin_settings(str(init))
    return (*(f"{key}={json.dumps(value)}" for key, value in known.items() if key not in given), *overrides)


def extended_recipe(folder: Path, overrides: Iterable[str] = (), *, run_dir: Path | None = None) -> Recipe:
    """Returns the recipe of a run that goes on from another one's last checkpoint, with a new schedule.

    Args:
        folder: Run folder of the other, finished or stopped.
        overrides: See `barlowtf.config.load_recipe`. Without any it trains for as many epochs as the other.
        run_dir: Run folder of the new run. Where it holds one that goes on from `folder`, that one's recipe is
            returned with the overrides, and `folder` is not read: it may have moved on, or be gone.

    Returns:
        The other's recipe with the overrides and its `parent`. It starts from no `model.init`, and with a frozen
        encoder only where the overrides say so.

    Raises:
        CheckpointError: It is not a run folder, has no whole checkpoint, or has stopped while its encoder was frozen.
        ConfigError: An override cannot be used, or changes what the state belongs to: all such settings are told.
    """
    begun = None if run_dir is None else runs.RunFolder(run_dir).recipe
    if begun is not None and begun.exists():
        saved = load_recipe(begun, overrides)
        if saved.parent is not None and settled_path(saved.parent.run) == settled_path(str(folder)):
            return saved
    run = runs.RunFolder(folder)
    if not run.recipe.exists():
        raise CheckpointError(f"{folder} is not a run folder: it holds no recipe.toml. Expected a run for --extend.")
    before, info = load_recipe(run.recipe), run.read_info()
    if info is None:
        raise CheckpointError(f"Cannot extend {folder}: it has not begun. Run the command that made it.")
    if not checkpoint.list_checkpoints(run.checkpoints):
        raise CheckpointError(
            f"Cannot extend {folder}: it holds no checkpoint, so there is nothing to go on from. "
            + (
                f"Start a new run from its weights: --init {shlex.quote(str(folder))}."
                if run.finished
                else "Begin anew in the same folder, with any settings: barlowtf pretrain --config "
                f"{shlex.quote(str(run.recipe))} --run-dir {shlex.quote(str(folder))} --set KEY=VALUE."
            )
        )
    step = checkpoint.step_of(find_checkpoint(run, "latest"))
    frozen = before.train.freeze_encoder_epochs * info.steps.per_epoch
    if step < frozen:
        raise CheckpointError(
            f"Cannot extend {folder}: it stopped after step {step}, while its encoder was frozen, which it is for "
            f"{frozen} steps. Resume it first."
        )
    grand = before.parent
    parent = Parent(
        run=str(folder),
        updates=step + (0 if grand is None else grand.updates),
        frozen_updates=frozen + (0 if grand is None else grand.frozen_updates),
        epochs=math.ceil(step / info.steps.per_epoch) + (0 if grand is None else grand.epochs),
    )
    tables = tomllib.loads(dump_recipe(before))
    tables["parent"] = parent.model_dump()
    tables["model"]["init"] = NONE
    tables["train"]["freeze_encoder_epochs"] = 0
    recipe = resolve(tables, overrides, str(run.recipe))
    _require_same_state(folder, before, recipe)
    return recipe


def _require_same_state(folder: Path, before: Recipe, recipe: Recipe) -> None:
    changed = [line for line in recipe_differences(before, recipe) if line.partition(":")[0] in _KEPT]
    if changed:
        raise ConfigError(
            f"Cannot extend {folder} with another model or optimizer, whose state it takes over: {'; '.join(changed)}. "
            f"Leave them as they are, or start a new run from its weights: --init {folder}."
        )


def _start_of_parent(recipe: Recipe, parent: Parent) -> Start:
    run = runs.RunFolder(Path(parent.run))
    if not run.recipe.exists():
        raise CheckpointError(f"Cannot go on from {parent.run}: it is not a run folder, or has been moved or deleted.")
    before = load_recipe(run.recipe)
    _require_same_state(run.path, before, recipe)
    step = parent.updates - (0 if before.parent is None else before.parent.updates)
    path = find_checkpoint(run, str(step))
    encoder, projector = build_parts(recipe)
    checkpoint.restore_weights(path, encoder, projector)
    record = RunParent(run=parent.run, step=step, sha256=weights_sha256(encoder))
    return Start(parent=record, checkpoint=path)
