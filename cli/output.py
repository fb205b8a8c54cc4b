"""What the commands print: names from elsewhere do not reach the terminal as control characters."""

import logging
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import BaseModel

from barlowtf.printable import printable

Model = TypeVar("Model", bound=BaseModel)


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Prints a text on standard output or error, its control characters as escapes."""
    click.echo(printable(text), err=err, nl=nl)


def on_one_line(record: Model) -> Model:
    """Returns a record whose texts have no line breaks or tabs, so that no name in it looks like a line of its own."""
    return record.model_copy(update={name: _escaped(value) for name, value in record})


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value, keep="")
    if isinstance(value, BaseModel):
        return on_one_line(value)
    if isinstance(value, dict):
        return {_escaped(key): _escaped(part) for key, part in value.items()}
    return type(value)(map(_escaped, value)) if type(value) in (list, tuple) else value


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
