"""Whether a run goes on by the recipe that it began with, and what becomes of a run that another recipe replaces."""

import logging

from barlowtf import runs
from barlowtf.atomic import write_file
from barlowtf.config import Recipe, dump_recipe, recipe_differences
from barlowtf.config.explaining import in_one_line
from barlowtf.errors import CheckpointError

_LOG = logging.getLogger("barlowtf")
# Settings, and sections, that change nothing of what is learned.
_FREE = ("data.max_unreadable", "checkpoint.", "monitor.")
# The same images may lie elsewhere by now; their fingerprint tells.
_PLACE = "data.source:"
# What an attempt that has saved nothing leaves beside its recipe.
_LEFT = ("run.json", "metrics.jsonl", "tensorboard", "skipped.jsonl", "skipped.worker-*.jsonl", "best")


def require_same_recipe(run: runs.RunFolder, recipe: Recipe) -> list[str]:
    """Returns which settings of a run are changed, one line `section.key: x -> y` each.

    Args:
        run: The run folder. One that has saved nothing takes any recipe; a finished run has nothing left to change.
        recipe: The recipe to go on with.

    Raises:
        CheckpointError: A setting on which it depends what is learned is another one.
    """
    changes = [line for line in recipe_differences(run.read_recipe(), recipe) if not line.startswith(_PLACE)]
    if not run.has_saved:
        return changes
    refused = [line for line in changes if run.status == "finished" or not line.startswith(_FREE)]
    if refused:
        raise CheckpointError(
            f"{run.path} holds a run of another recipe: {'; '.join(refused)}. "
            "Use the same settings to resume it, choose another --run-dir, or go on from it with other settings: "
            f"barlowtf pretrain --extend {run.path} --set KEY=VALUE."
        )
    return changes


def note_recipe(run: runs.RunFolder, recipe: Recipe, changes: list[str]) -> None:
    """Writes the recipe of a run anew where a setting or the place of the images is another one, and logs each setting.

    Args:
        run: The run folder, held by this process.
        recipe: The recipe to go on with.
        changes: Its changed settings, see `require_same_recipe`.
    """
    if changes and not run.has_saved:
        kept = _set_aside(run)
        _LOG.info(
            "%s has saved nothing and begins anew with another recipe (%s).%s",
            run.path,
            in_one_line(changes),
            f" What the run before has recorded is kept in {kept.path}." if kept else "",
        )
    else:
        for line in changes:
            _LOG.info("%s goes on with a changed setting, %s.", run.path, line)
    if run.read_recipe() != recipe:
        write_file(run.recipe, dump_recipe(recipe))


def _set_aside(run: runs.RunFolder) -> runs.RunFolder | None:
    """Moves what a run has recorded, with its recipe, into a folder inside its own; None: nothing is recorded."""
    left = [path for pattern in _LEFT for path in sorted(run.path.glob(pattern))]
    if not left:
        return None
    number = 1
    while (run.path / f"earlier-{number}").exists():
        number += 1
    kept = runs.RunFolder(run.path / f"earlier-{number}")
    kept.path.mkdir()
    write_file(kept.recipe, run.recipe.read_text(encoding="utf-8"))
    for path in left:
        path.rename(kept.path / path.name)
    return kept
