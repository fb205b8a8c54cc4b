"""What the commands print: names from elsewhere do not reach the terminal as control characters."""

import logging
from pathlib import Path

import click

from barlowtf.printable import printable


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Prints a text on standard output or error, its control characters as escapes."""
    click.echo(printable(text), err=err, nl=nl)


class PrintableFormatter(logging.Formatter):
    """Formats the messages of the log; what is put into them stays on one line."""

    def __init__(self) -> None:
        """Prints the message alone."""
        super().__init__("%(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Returns the message."""
        if isinstance(record.args, tuple):
            record = logging.makeLogRecord({**record.__dict__, "args": tuple(map(_printable_argument, record.args))})
        return printable(super().format(record))


def _printable_argument(value: object) -> object:
    return printable(str(value), keep="") if isinstance(value, str | Path | Exception) else value
