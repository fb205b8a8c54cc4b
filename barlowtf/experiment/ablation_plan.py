"""The plan of a grid of runs: recipes, steps, and how long they take, before the first one starts."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from barlowtf import choosing, data
from barlowtf.config import Recipe, dump_recipe, flat_settings, load_recipe, parse_overrides
from barlowtf.config.durations import format_time
from barlowtf.config.grid import as_overrides
from barlowtf.distribute import make_strategy
from barlowtf.errors import ConfigError
from barlowtf.evaluation import plan_judgement
from barlowtf.experiment.ablation_recipes import Scope, cell_recipe, naming
from barlowtf.experiment.data import open_split
from barlowtf.experiment.settling import settled
from barlowtf.experiment.step_time import step_memory, time_step
from barlowtf.records import AblationPlan, PlannedCell
from barlowtf.train.stepping import count_steps_per_epoch

# Start and measurement of one run, beside its steps: processes, compilation, features of all images, protocols.
_RUN_SECONDS = 60.0
_MEMORY_SHARE = 0.6
_PAPER_EPOCHS = 300


def make_plan(scope: Scope, before: AblationPlan | None) -> AblationPlan:
    """Returns the plan of a grid.

    Args:
        scope: What it follows from.
        before: The plan of the same grid, whose steps have been timed; None: they are timed now.

    Raises:
        BarlowTFError: A cell's recipe, the images or the budget do not allow it.
    """
    cells = scope.grid.every_cell()
    base = settled(load_recipe(scope.base, scope.overrides))
    recipes = [cell_recipe(scope, cell) for cell in cells]
    source, labels = open_split(base.data.source, "train"), base.monitor.labels or base.data.source
    protocols, held_out, _ = plan_judgement(labels)
    digest = _digest(scope, base)
    if before is None:
        _require_possible(scope, len(cells))
        per_epoch = [_steps_per_epoch(recipe, source.size) for recipe in recipes]
        seconds = _time_steps(scope, recipes, source, per_epoch)
        epochs = _choose_epochs(scope, recipes, per_epoch, seconds)
        planned = tuple(
            PlannedCell(
                name=cell.name,
                slug=cell.slug,
                series=cell.series,
                x=cell.x,
                published=cell.published,
                settings=(*as_overrides(scope.grid.base), *as_overrides(cell.set)),
                epochs=count,
                steps=count * steps,
                step_seconds=round(step_seconds, 5),
            )
            for cell, count, steps, step_seconds in zip(cells, epochs, per_epoch, seconds, strict=True)
        )
        # The recipes as they will run: what does not fit is said now.
        for cell, plan in zip(cells, planned, strict=True):
            cell_recipe(scope, cell, epochs=plan.epochs)
    else:
        planned = before.cells
    of_one_seed = sum(_RUN_SECONDS + cell.steps * (cell.step_seconds or 0.0) for cell in planned)
    grid = scope.grid
    return AblationPlan(
        **{
            key: getattr(grid, key)
            for key in ("title", "question", "source", "measure", "note", "x_label", "x_log", "equal")
        },
        table=scope.table,
        base=scope.base,
        overrides=scope.overrides,
        encoder=base.model.encoder,
        data=base.data.source,
        images=source.size,
        other_scale=_is_other_scale(base, [cell.epochs for cell in planned]),
        sha256=digest,
        budget_seconds=scope.budget,
        jobs=scope.jobs,
        seconds=round(of_one_seed * len(scope.seeds) / scope.jobs, 1),
        protocols=scope.protocols or tuple(protocols),
        labels=labels,
        held_out=held_out,
        seeds=scope.seeds,
        cells=planned,
    )


def explain_plan(plan: AblationPlan) -> list[str]:
    """Returns the plan in some lines: cells, steps, time."""
    cells = plan.cells
    counts = sorted({cell.epochs for cell in cells})
    epochs = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    times = [cell.step_seconds for cell in cells if cell.step_seconds is not None]
    source = f" ({plan.source})" if plan.source else ""
    seeds = "1 seed" if len(plan.seeds) == 1 else f"{len(plan.seeds)} seeds"
    lines = [
        f"grid        {plan.table}: {plan.title}{source}",
        f"base        {plan.base}, {plan.encoder}, {plan.images:,} images of {plan.data}",
        f"cells       {len(cells)} x {seeds} = {_count(len(cells) * len(plan.seeds), 'run')} of {epochs} "
        f"{'epoch' if epochs == '1' else 'epochs'}",
    ]
    steps = sum(cell.steps for cell in cells) * len(plan.seeds)
    if times:
        span = dict.fromkeys(f"{seconds:.3g}" for seconds in (min(times), max(times)))
        lines.append(f"steps       {steps:,}, {' to '.join(span)} s each, timed on this machine")
    if plan.seconds is not None:
        at_once = "one run at a time" if plan.jobs == 1 else f"{plan.jobs} runs at a time"
        lines.append(f"time        about {format_time(plan.seconds)}, {at_once}")
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def require_same_plan(plan_file: Path, before: AblationPlan, scope: Scope) -> None:
    """Checks that a folder holds runs of the same grid; seeds and protocols may be others.

    Raises:
        ConfigError: It holds another one.
    """
    base = settled(load_recipe(scope.base, scope.overrides))
    same_cells = [cell.name for cell in before.cells] == [cell.name for cell in scope.grid.every_cell()]
    if _digest(scope, base) == before.sha256 and before.budget_seconds == scope.budget and same_cells:
        return
    what = [
        f"{name} {old} -> {new}"
        for name, old, new in (
            ("table", before.table, scope.table),
            ("base", before.base, scope.base),
            ("data", before.data, base.data.source),
            ("budget", _time(before.budget_seconds), _time(scope.budget)),
        )
        if old != new
    ]
    raise ConfigError(
        f"{plan_file.parent} holds another grid: {'; '.join(what) or 'its cells or a setting of the base recipe'}. "
        "Give the same options to go on with it, or choose another --out."
    )


def _require_possible(scope: Scope, cells: int) -> None:
    """Refuses a budget that the start of the runs alone takes, or that is to set epochs which are set already."""
    if scope.budget is None:
        return
    settings = (*parse_overrides(scope.overrides), *scope.grid.base, *scope.grid.axes)
    if "train.epochs" in settings or any("train.epochs" in cell.set for cell in scope.grid.cells):
        raise ConfigError(
            "Invalid --budget: train.epochs is set, too, and the budget would set it. Leave out one of them."
        )
    runs = cells * len(scope.seeds)
    least = runs * _RUN_SECONDS / scope.jobs
    if scope.budget <= least:
        raise ConfigError(
            f"Invalid --budget: received {format_time(scope.budget)}, expected more than {format_time(least)}: "
            f"{runs} runs, with {format_time(_RUN_SECONDS)} each to start and to measure. Give a larger one, or fewer "
            "--seeds."
        )


def estimate(cell: PlannedCell) -> float:
    """Returns the seconds that a run of a cell takes, measured on this machine or another one when it was planned."""
    return _RUN_SECONDS + cell.steps * (cell.step_seconds or 0.0)


def _digest(scope: Scope, base: Recipe) -> str:
    """Returns what runs of one grid share: cells, and every setting of the base recipe."""
    grid = scope.grid.model_dump(mode="json")
    text = json.dumps([grid, dump_recipe(base)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _steps_per_epoch(recipe: Recipe, images: int) -> int:
    train = recipe.train
    return count_steps_per_epoch(images, batch_size=train.batch_size, replicas=1, micro_batch=train.micro_batch)


def _cost_key(recipe: Recipe) -> str:
    """Returns what recipes share whose steps take equally long: all but seed, length, rates and weights of terms."""
    free = ("train.seed", "train.epochs", "optimizer.", "monitor.", "checkpoint.", "data.max_unreadable")
    settings: Mapping[str, Any] = {
        key: value
        for key, value in flat_settings(recipe).items()
        if not key.startswith(free) and not (key.startswith("loss.") and isinstance(value, float))
    }
    kept = {**settings, "optimizer": recipe.optimizer.name}
    return json.dumps(kept, sort_keys=True, default=str)


def _time_steps(scope: Scope, recipes: Sequence[Recipe], source: data.Source, per_epoch: Sequence[int]) -> list[float]:
    """Returns the seconds of a step of each recipe; each kind of step is timed once, after a look at its memory."""
    strategy, machine, jobs = make_strategy("one"), choosing.describe_machine(), scope.jobs
    first = recipes[0].data
    source = data.preload(source, first.channels, rendering=data.rendering_of(first))
    limit = _MEMORY_SHARE * (machine.gpu_memory or machine.memory) / (1 if machine.gpus else jobs)
    known: dict[str, float] = {}
    for cell, recipe, steps in zip(scope.grid.every_cell(), recipes, per_epoch, strict=True):
        key = _cost_key(recipe)
        if key in known:
            continue
        with naming(scope.table, cell):
            needed = step_memory(recipe, strategy)
        if needed > limit:
            raise ConfigError(
                f"A step of {recipe.train.batch_size} images takes {needed / 1e9:.1f} GB, and each of {jobs} "
                f"{'job' if jobs == 1 else 'jobs'} may take {limit / 1e9:.1f} GB here. Set --jobs 1, or leave out the "
                "cells with large batches or models."
            )
        known[key] = time_step(recipe, source, strategy, steps)
    return [known[_cost_key(recipe)] for recipe in recipes]


def _choose_epochs(
    scope: Scope, recipes: Sequence[Recipe], per_epoch: Sequence[int], seconds: Sequence[float]
) -> list[int]:
    """Returns the epochs of each cell: of its recipe, or what fits into the budget."""
    if scope.budget is None:
        return [recipe.train.epochs for recipe in recipes]
    runs = len(recipes) * len(scope.seeds)
    usable = scope.budget * scope.jobs - runs * _RUN_SECONDS
    epoch_seconds = [steps * each for steps, each in zip(per_epoch, seconds, strict=True)]
    if scope.grid.equal == "time":
        epochs = [int(usable / runs / each) for each in epoch_seconds]
    else:
        epochs = [int(usable / len(scope.seeds) / sum(epoch_seconds))] * len(recipes)
    if min(epochs) < 1:
        least = (sum(epoch_seconds) * len(scope.seeds) + runs * _RUN_SECONDS) / scope.jobs
        if scope.grid.equal == "time":
            least = (max(epoch_seconds) * runs + runs * _RUN_SECONDS) / scope.jobs
        raise ConfigError(
            f"Invalid --budget: received {format_time(scope.budget)}, expected at least {format_time(least)} for one "
            f"epoch of each of {runs} runs, with {format_time(_RUN_SECONDS)} each to start and to measure. Give a "
            "larger one, fewer --seeds, or smaller data."
        )
    return epochs


def _is_other_scale(base: Recipe, epochs: Sequence[int]) -> bool:
    """Returns whether the paper's figures are of other images, another encoder or longer training."""
    same = "imagenet2012" in base.data.source and base.model.encoder == "resnet50"
    return not (same and min(epochs) >= _PAPER_EPOCHS)


def _time(seconds: float | None) -> str:
    return "none" if seconds is None else format_time(seconds)
