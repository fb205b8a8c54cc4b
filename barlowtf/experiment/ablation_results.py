"""What the run folders of a grid hold, as one record, a table and a page."""

import logging
import signal
import statistics
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from barlowtf import runs
from barlowtf.atomic import write_file
from barlowtf.distribute import describe_surroundings, make_strategy
from barlowtf.errors import CheckpointError
from barlowtf.printable import markdown_cell
from barlowtf.records import (
    AblationPlan,
    AblationRecord,
    AblationRow,
    AblationRun,
    PlannedCell,
    read_metrics,
    read_results,
    write_record,
)
from barlowtf.report import ablation_table, render_ablation

_LOG = logging.getLogger("barlowtf")
_LONGEST_REASON = 500
PLAN_FILE, RESULTS_FILE = "ablation.json", "results.json"


def write_results(out: Path, plan: AblationPlan) -> AblationRecord:
    """Writes results, table and page of a grid; returns the results.

    Args:
        out: Folder of the grid.
        plan: Its plan.

    Raises:
        CheckpointError: A file in a run folder is damaged.
    """
    record = collect(out, plan)
    write_record(out / RESULTS_FILE, record)
    write_file(out / "table.md", f"# {markdown_cell(plan.title)}\n\n{ablation_table(record)}\n")
    write_file(out / "index.html", grid_page(out, record))
    return record


def grid_page(out: Path, record: AblationRecord) -> str:
    """Returns the page about a grid, HTML.

    Args:
        out: Folder of the grid.
        record: What its run folders hold.
    """
    curves = {
        row.cell: {run.seed: _metrics(out, cell, run.seed) for run in row.runs}
        for row, cell in zip(record.rows, record.plan.cells, strict=True)
    }
    return render_ablation(record, curves, created=datetime.now(UTC), version=metadata.version("barlowtf"))


def collect(out: Path, plan: AblationPlan) -> AblationRecord:
    """Returns what the run folders of a grid hold; raises as `write_results`."""
    rows = tuple(
        AblationRow(cell=cell.name, runs=tuple(_run_of(out, cell, seed, plan) for seed in plan.seeds))
        for cell in plan.cells
    )
    surroundings = describe_surroundings(make_strategy("one"))
    return AblationRecord(**dict(surroundings), plan=plan, rows=rows)


def _run_of(out: Path, cell: PlannedCell, seed: int, plan: AblationPlan) -> AblationRun:
    run = runs.RunFolder(folder_of(out, cell, seed))
    finished = is_finished(run)
    info = run.read_info() if finished else None
    scores = {name: score for name, score in scores_of(run).items() if name in plan.protocols}
    whole = finished and len(scores) == len(plan.protocols)
    reason = "" if whole else last_line(log_of(out, cell, seed))
    failed = reason.startswith("Error: ")
    return AblationRun(
        seed=seed,
        status="finished" if whole else "failed" if failed else "missing",
        scores=scores,
        loss=None if info is None or info.result is None else info.result.loss,
        seconds=None if info is None else info.wall_seconds,
        reason=reason.removeprefix("Error: ") if failed else None,
    )


def is_finished(run: runs.RunFolder) -> bool:
    """Returns whether a run has finished; one whose record is damaged has not, and its next start says why."""
    try:
        return run.finished
    except CheckpointError:
        return False


def note_end(log: Path, status: int) -> None:
    """Adds a line to the log of a command that ended without saying why: by a signal that nothing can handle."""
    if not last_line(log).startswith("Error: "):
        ended = f"killed by {signal.Signals(status - 128).name}" if status > 128 else f"ended with status {status}"
        hint = ", as the system does when memory is short" if status == 128 + signal.SIGKILL else ""
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"Error: {ended}{hint}.\n")


def last_line(log: Path) -> str:
    """Returns the last line of a log, "" where there is none: of a command that fails it is the reason."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip()[:_LONGEST_REASON] for line in reversed(lines) if line.strip()), "")


def log_of(out: Path, cell: PlannedCell, seed: int) -> Path:
    """Returns the file with the output of the run of a cell and a seed."""
    return out / "logs" / f"{cell.slug}-seed-{seed}.log"


def scores_of(run: runs.RunFolder) -> dict[str, float]:
    """Returns the first score by each protocol that has measured a run: the mean where it held out several parts."""
    scores: dict[str, list[float]] = {}
    for result in read_results(run.path / "results")[0]:
        scores.setdefault(result.protocol, []).append(result.scores[result.shown_measures[0].name])
    return {name: statistics.fmean(values) for name, values in scores.items()}


def _metrics(out: Path, cell: PlannedCell, seed: int) -> list[dict[str, float]]:
    try:
        return read_metrics(runs.RunFolder(folder_of(out, cell, seed)).metrics)
    except CheckpointError as error:
        _LOG.warning("%s", error)
        return []


def folder_of(out: Path, cell: PlannedCell, seed: int) -> Path:
    """Returns the run folder of a cell and a seed."""
    return out / "runs" / cell.slug / f"seed-{seed}"
