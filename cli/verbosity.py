"""How much a command says while it works: --quiet and --verbose, which every command has."""

import logging

import click

from .output import PrintableFormatter, echo

LOGGER = logging.getLogger("barlowtf")


def start_log() -> None:
    """Sends the log of barlowtf to standard error, one plain line a message."""
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter())
    LOGGER.handlers[:] = [handler]
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False


def tell(text: str) -> None:
    """Prints what is said beside the result on standard error, not with --quiet."""
    if LOGGER.isEnabledFor(logging.INFO):
        echo(text, err=True)


def add_verbosity(command: click.Command) -> click.Command:
    """Returns a command with --quiet and --verbose; of a group its commands."""
    for inner in getattr(command, "commands", {}).values():
        add_verbosity(inner)
    if not isinstance(command, click.Group):
        quiet, verbose = "Say nothing but warnings, errors and the result.", "Show where an error comes from, and "
        command.params += [
            _option("-q", "--quiet", logging.WARNING, quiet),
            _option("-v", "--verbose", logging.DEBUG, f"{verbose}TensorFlow's own messages."),
        ]
    return command


def _option(short: str, name: str, level: int, text: str) -> click.Option:
    def choose(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value:
            LOGGER.setLevel(level)

    return click.Option([short, name], is_flag=True, expose_value=False, callback=choose, help=text)
