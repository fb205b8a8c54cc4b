"""The images that a command passes over, by the rule of the run whose encoder it uses."""

from collections.abc import Iterable
from pathlib import Path

from barlowtf import data, runs
from barlowtf.config import load_recipe
from barlowtf.encoders.encoder import Encoder

OPTION = "--max-unreadable"


def skips_of(encoders: Iterable[Encoder], limit: int | None, file: Path | None) -> data.SkippedImages:
    """Returns what a command passes over: nothing yet.

    Args:
        encoders: Those of the command.
        limit: Maximum number of unreadable images; None: 100, or `data.max_unreadable` of the first encoder's run where
            that is more: its recipe need not be about these images.
        file: Lists them; None: see `data.SkippedImages.list_in`.
    """
    if limit is None:
        recipes = (runs.RunFolder(encoder.run).recipe for encoder in encoders if encoder.run is not None)
        recipe = next((path for path in recipes if path.exists()), None)
        allowed = 0 if recipe is None else load_recipe(recipe).data.max_unreadable
        limit = max(data.MAX_UNREADABLE, allowed)
    return data.SkippedImages(limit, file=file, setting=OPTION)
