"""`barlowtf ablate`."""

import json
from pathlib import Path

import click

from barlowtf.tables import PROTOCOLS

from .entry import EntryChoice
from .options import data_option, json_option, set_option
from .output import echo
from .seeds import parse_seeds
from .tensorflow import share_threads, start_tensorflow

_BASE = "digits"


@click.command(short_help="Run a table of the paper, or a grid of your own.")
@click.argument("table", metavar="TABLE")
@click.option(
    "--base",
    metavar="NAME|FILE",
    default=_BASE,
    show_default=True,
    help="Recipe that the cells change: name of a packaged one, or a TOML file.",
)
@data_option("Training images.", default="data.source of the base recipe")
@set_option("train.epochs=20")
@click.option(
    "--seeds",
    callback=parse_seeds,
    default="0",
    show_default=True,
    metavar="0,1,2",
    help="Seeds: one run of each cell for each. The table has their values, from three on means with intervals.",
)
@click.option(
    "--budget",
    metavar="TIME",
    help="Time that all runs may take on this machine together, such as 60m or 8h: it sets the epochs. Default: as "
    "many as the base recipe says.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of runs at a time, which share the cores. Default: one for each GPU, without GPUs one.",
)
@click.option(
    "--protocol",
    "protocols",
    type=EntryChoice(PROTOCOLS),
    multiple=True,
    metavar="NAME",
    help="Protocol that measures each run. May be repeated. Default: those that fit the data and take minutes.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the plan, the runs and the results. Default: runs/ablate-TABLE.",
)
@click.option("--dry-run", is_flag=True, help="Time a few steps, print the plan, and stop.")
@json_option
def ablate(
    table: str,
    base: str,
    source: str | None,
    overrides: tuple[str, ...],
    seeds: tuple[int, ...],
    budget: str | None,
    jobs: int | None,
    protocols: tuple[str, ...],
    out: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run a grid: one ordinary run for each cell and seed, measured alike, and then a table and a page.

    TABLE is table5 (the loss taken apart), table6 (stop-gradient, predictor), batch, projector, augment, lambda or
    methods, or a TOML file of your own, see docs/ablations.md. The plan is printed before anything runs. The same
    command goes on where it was, whatever has ended it.

    \b
    Examples:
      barlowtf ablate table5 --budget 10m
      barlowtf ablate table5 --base cifar10-cpu --data cifar10/ --seeds 0,1,2 --budget 8h --jobs 2
      barlowtf ablate my-grid.toml --base mine.toml --set train.epochs=20 --protocol knn
      barlowtf ablate lambda --dry-run
    """
    from barlowtf.config.durations import parse_budget
    from barlowtf.config.grid import load_grid

    load_grid(table)
    if budget is not None:
        parse_budget(budget)
    settings = overrides if source is None else (*overrides, f"data.source={json.dumps(source)}")
    folder = out or Path("runs") / f"ablate-{Path(table).stem}"
    share_threads(jobs)
    start_tensorflow()
    from barlowtf import experiment
    from barlowtf.experiment.ablation_plan import explain_plan
    from barlowtf.report import ablation_table, conclusion

    record = experiment.ablate(
        experiment.AblateRequest(
            table, base, folder, settings, seeds, protocols, budget=budget, jobs=jobs, dry_run=dry_run
        )
    )
    if as_json:
        echo(json.dumps(record.model_dump(mode="json"), indent=2))
    elif dry_run:
        echo("\n".join(explain_plan(record.plan)))
    else:
        echo("\n\n".join([ablation_table(record), conclusion(record), f"page        {folder / 'index.html'}"]))
    if not dry_run and record.counts["failed"] + record.counts["missing"]:
        raise click.exceptions.Exit(1)
