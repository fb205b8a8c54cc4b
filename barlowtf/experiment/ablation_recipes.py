"""The recipes of a grid's runs: the base recipe, changed by the grid, by a cell, by seed and length."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from barlowtf.config import Recipe, load_recipe
from barlowtf.config.grid import Cell, Grid, as_overrides
from barlowtf.encoders.building import check_encoder, settle_loss
from barlowtf.errors import ConfigError
from barlowtf.experiment.settling import settled

_LOG = logging.getLogger("barlowtf")
# Looks at the encoder during a run; each takes seconds.
_LOOKS = 3


@dataclass(frozen=True)
class Scope:
    """What a plan follows from.

    Attributes:
        grid: The cells.
        table: Name or file of the grid.
        base: Name or file of the base recipe.
        overrides: Changes to it, `section.key=value`; those of the grid and of a cell come after them.
        seeds: Of the runs of each cell.
        protocols: What measures each run; none: what fits the data and takes minutes.
        budget: Time that all runs may take, s; None: as long as the base recipe says.
        jobs: Runs at a time.
    """

    grid: Grid
    table: str
    base: str
    overrides: tuple[str, ...]
    seeds: tuple[int, ...]
    protocols: tuple[str, ...]
    budget: float | None
    jobs: int


def cell_recipe(scope: Scope, cell: Cell, *, seed: int = 0, epochs: int | None = None) -> Recipe:
    """Returns the recipe of one run.

    Args:
        scope: Whose base recipe it changes.
        cell: Its settings.
        seed: Of the run.
        epochs: Of the run; None: those of the recipe. Warm-up and monitors follow.

    Raises:
        ConfigError: A setting does not exist, or does not fit the others; the message names the cell.
    """
    with naming(scope.table, cell), _quietly():
        given = [*scope.overrides, *as_overrides(scope.grid.base), *as_overrides(cell.set)]
        if cell.lars and load_recipe(scope.base, given).optimizer.name == "lars":
            given += as_overrides(cell.lars)
        given.append(f"train.seed={seed}")
        if epochs is not None:
            given += _pace(load_recipe(scope.base, given), epochs)
        recipe = settle_loss(settled(load_recipe(scope.base, given)))
        check_encoder(recipe)
        return recipe


@contextmanager
def naming(table: str, cell: Cell) -> Iterator[None]:
    """Adds the name of a cell to what is wrong with its recipe."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"Cell {cell.name!r} of {table}: {error}") from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Keeps back what is said of each recipe that is read: a grid reads many."""
    level = _LOG.level
    _LOG.setLevel(logging.WARNING)
    try:
        yield
    finally:
        _LOG.setLevel(level)


def _pace(recipe: Recipe, epochs: int) -> list[str]:
    """Returns settings that follow from another number of epochs: the warm-up's share of the run stays."""
    warmup = recipe.optimizer.warmup_epochs * epochs / recipe.train.epochs
    every = max(epochs // _LOOKS, 1)
    settings: dict[str, Any] = {
        "train.epochs": epochs,
        "optimizer.warmup_epochs": round(warmup, 4),
        "monitor.knn_every_epochs": every,
        "monitor.collapse_every_epochs": every,
    }
    return as_overrides(settings)
