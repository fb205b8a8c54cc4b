"""`barlowtf ablate`: a grid -> its plan, one ordinary run for each cell and seed, a table and a page."""

import logging
import signal
from dataclasses import dataclass
from pathlib import Path

from barlowtf import choosing, runs
from barlowtf.atomic import write_file
from barlowtf.config import dump_recipe
from barlowtf.config.durations import format_time, parse_budget
from barlowtf.config.grid import load_grid
from barlowtf.errors import CheckpointError, ConfigError, Interrupted
from barlowtf.experiment.ablation_plan import estimate, explain_plan, make_plan, require_same_plan
from barlowtf.experiment.ablation_recipes import Scope, cell_recipe
from barlowtf.experiment.ablation_results import (
    PLAN_FILE,
    RESULTS_FILE,
    collect,
    folder_of,
    is_finished,
    last_line,
    log_of,
    note_end,
    scores_of,
    write_results,
)
from barlowtf.experiment.run_lock import wait_until_free
from barlowtf.launching import TETHERED, EndedJob, Job, run_jobs, share_of_machine
from barlowtf.records import (
    AblationPlan,
    AblationRecord,
    PlannedCell,
    read_record,
    write_record,
)
from barlowtf.tables import PROTOCOLS

_LOG = logging.getLogger("barlowtf")
# What lies in the folder of a grid beside its plan.
_OWN = (".lock", ".lock-holder", "runs", "recipes", "logs", RESULTS_FILE, "table.md", "index.html")


@dataclass(frozen=True)
class AblateRequest:
    """Which grid to run, on which recipe.

    Attributes:
        table: Name of a packaged grid, or a TOML file.
        base: Name or file of the recipe that the cells change.
        out: Folder of the plan, the runs and the results.
        overrides: Changes to the recipe, `section.key=value`.
        seeds: One run of each cell for each seed, >= 0.
        protocols: Names of `PROTOCOLS`: what measures each run; none: those that fit the data and take minutes.
        budget: Time that all runs may take: "60m"; None: as long as the recipe says.
        jobs: Runs at a time, >= 1; None: one for each GPU, without GPUs one.
        dry_run: Whether to plan only.
    """

    table: str
    base: str
    out: Path
    overrides: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    protocols: tuple[str, ...] = ()
    budget: str | None = None
    jobs: int | None = None
    dry_run: bool = False


def ablate(request: AblateRequest) -> AblationRecord:
    """Runs the cells of a grid that have not run, and writes table and page; the same call goes on after any end.

    Raises:
        BarlowTFError: Grid, recipe, images, budget or folder do not allow it.
        Interrupted: A signal came. Runs that were under way are saved.
    """
    for name in request.protocols:
        PROTOCOLS.open(name)
    machine = choosing.describe_machine()
    jobs = request.jobs or max(machine.gpus, 1)
    scope = Scope(
        grid=load_grid(request.table),
        table=request.table,
        base=request.base,
        overrides=request.overrides,
        seeds=request.seeds,
        protocols=request.protocols,
        budget=None if request.budget is None else parse_budget(request.budget),
        jobs=jobs,
    )
    plan_file = request.out / PLAN_FILE
    before = _read_plan(plan_file) if plan_file.exists() else None
    if before is not None:
        require_same_plan(plan_file, before, scope)
    else:
        _require_new(request.out)
    plan = make_plan(scope, before)
    if request.dry_run:
        return collect(request.out, plan)
    for line in explain_plan(plan):
        _LOG.info("%s", line)
    request.out.mkdir(parents=True, exist_ok=True)
    with runs.locked(request.out):
        write_record(plan_file, plan)
        waiting = _make_jobs(scope, plan, request.out)
        for seed in plan.seeds:
            for cell in plan.cells:
                wait_until_free(folder_of(request.out, cell, seed))
        total = len(plan.cells) * len(plan.seeds)
        if len(waiting) < total:
            left = sum(estimate(cell) for _, cell in waiting) / jobs
            _LOG.info("%d of %d runs are done; about %s left.", total - len(waiting), total, format_time(left))
        received = _run(waiting, plan, request.out, jobs, machine.gpus)
        record = write_results(request.out, plan)
    if received is not None:
        raise Interrupted(f"Stopped by {received.name}, saved. The same command goes on.", received)
    return record


def _read_plan(file: Path) -> AblationPlan:
    try:
        return read_record(file, AblationPlan)
    except CheckpointError as error:
        raise CheckpointError(f"{error} Or delete it: the plan is made anew, and what has run stays.") from error


def _require_new(folder: Path) -> None:
    """Raises ConfigError where a folder holds anything else than what a grid leaves."""
    if folder.exists() and (not folder.is_dir() or any(entry.name not in _OWN for entry in folder.iterdir())):
        raise ConfigError(
            f"Invalid --out: {folder} is there and holds no {PLAN_FILE}. Expected a new folder, or that of a grid."
        )


def _make_jobs(scope: Scope, plan: AblationPlan, out: Path) -> list[tuple[Job, PlannedCell]]:
    """Returns what is still to run, all cells of the first seed first."""
    cells = dict(zip((cell.name for cell in scope.grid.every_cell()), scope.grid.every_cell(), strict=True))
    waiting = []
    for seed in plan.seeds:
        for planned in plan.cells:
            run = runs.RunFolder(folder_of(out, planned, seed))
            missing = [name for name in plan.protocols if name not in scores_of(run)]
            finished = is_finished(run)
            if finished and not missing:
                continue
            recipe = cell_recipe(scope, cells[planned.name], seed=seed, epochs=planned.epochs)
            file = out / "recipes" / f"{planned.slug}-seed-{seed}.toml"
            log = log_of(out, planned, seed)
            for path in (file, log):
                path.parent.mkdir(exist_ok=True)
            write_file(file, dump_recipe(recipe))
            train = (*TETHERED, "pretrain", "--config", str(file), "--run-dir", str(run.path))
            named = (word for name in missing for word in ("--protocol", name))
            measure = (*TETHERED, "evaluate", "--encoder", str(run.path), "--data", plan.labels, *named)
            if plan.held_out is not None:
                measure += ("--holdout", str(plan.held_out))
            commands = (*(() if finished else (train,)), measure)
            waiting.append((Job(f"{planned.name}, seed {seed}", commands, log), planned))
    return waiting


def _run(
    waiting: list[tuple[Job, PlannedCell]], plan: AblationPlan, out: Path, jobs: int, gpus: int
) -> signal.Signals | None:
    """Runs the jobs, tells how each ended, and writes the table after each; returns the signal that stopped them."""
    planned = {id(job): estimate(cell) for job, cell in waiting}
    total = len(plan.cells) * len(plan.seeds)
    done, left = total - len(waiting), sum(planned.values())
    spent = expected = 0.0

    def tell(ended: EndedJob) -> None:
        nonlocal done, left, spent, expected
        done, left = done + 1, left - planned[id(ended.job)]
        spent, expected = spent + ended.seconds, expected + planned[id(ended.job)]
        if ended.status:
            note_end(ended.job.log, ended.status)
        record = write_results(out, plan)
        result = _told(record, ended)
        if ended.status:
            result = f"failed: {last_line(ended.job.log).removeprefix('Error: ')} See {ended.job.log}"
        rest = f"; about {format_time(left * spent / expected / jobs)} left" if left > 0 else ""
        _LOG.info("%d of %d  %s: %s (%s%s)", done, total, ended.job.name, result, format_time(ended.seconds), rest)

    return run_jobs([job for job, _ in waiting], slots=jobs, ended=tell, environment=share_of_machine(jobs, gpus))


def _told(record: AblationRecord, ended: EndedJob) -> str:
    """Returns the scores of a job's run."""
    for row in record.rows:
        for run in row.runs:
            if ended.job.name == f"{row.cell}, seed {run.seed}":
                return ", ".join(f"{name} {100 * score:.1f}" for name, score in run.scores.items())
    return "no result"
