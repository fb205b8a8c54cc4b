"""`barlowtf launch`."""

import sys

import click
from click.core import ParameterSource

from .pretrain import pretrain

_COMMANDS = {"pretrain": pretrain}


@click.command(
    context_settings={"allow_interspersed_args": False},
    short_help="Rehearse a run on several machines with local processes.",
)
@click.option(
    "--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Number of processes, one per machine."
)
@click.argument("arguments", metavar="-- COMMAND [OPTIONS]...", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def launch(context: click.Context, workers: int, arguments: tuple[str, ...]) -> None:
    """Rehearse a run on several machines: each is a process on this one.

    COMMAND is pretrain; --strategy multiworker is added unless it is given. The output of the first worker, the chief,
    appears as it is; each line of another worker appears after its name. Signals go to all workers. A rehearsal shows
    that a run on several machines works, not how fast it is.

    Example: barlowtf launch --workers 2 -- pretrain --config digits --run-dir runs/rehearsal
    """
    from barlowtf.launching import run_workers

    words = _with_strategy(context, arguments)
    command = [sys.executable, "-m", "barlowtf", *words]
    context.exit(run_workers([command] * workers))


def _with_strategy(context: click.Context, arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the words of a command that runs as one of several workers, and reports usage errors once."""
    name, *options = arguments
    if name not in _COMMANDS:
        raise click.UsageError(
            f"{name!r} cannot run on several machines. Choose one of: {', '.join(_COMMANDS)}.", context
        )
    parsed = _COMMANDS[name].make_context(name, list(options), parent=context.parent)
    if parsed.get_parameter_source("strategy") is ParameterSource.DEFAULT:
        return (name, "--strategy", "multiworker", *options)
    if parsed.params["strategy"] != "multiworker":
        raise click.UsageError(f"--strategy {parsed.params['strategy']} is for one machine. Leave it out.", context)
    return arguments
