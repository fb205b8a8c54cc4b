"""`barlowtf doctor`."""

import json
from pathlib import Path

import click

from .options import json_option
from .output import echo, on_one_line
from .tensorflow import start_tensorflow


@click.command(short_help="Look for what is wrong with this machine or with a run.")
@click.argument("run", metavar="[RUN]", required=False, type=click.Path(path_type=Path))
@json_option
def doctor(run: Path | None, as_json: bool) -> None:
    """Look for what is wrong with this machine, or with a run, and what to change.

    Without RUN: versions, devices, memory, threads, disk, optional packages. With RUN, finished or not: collapse,
    errors, rates, kNN accuracy, speed, saves, from the files of its folder. The worst comes first. Exit status 1 where
    something harms; notes do not change it.

    \b
    Examples:
      barlowtf doctor
      barlowtf doctor runs/cifar
    """
    start_tensorflow()
    from barlowtf.experiment import diagnose, explain_health
    from barlowtf.records import harms

    health = diagnose(run)
    echo(json.dumps(health.model_dump(mode="json"), indent=2) if as_json else explain_health(on_one_line(health)))
    if harms(health.findings):
        raise SystemExit(1)
