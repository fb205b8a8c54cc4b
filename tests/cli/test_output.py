"""Control characters in names from elsewhere do not reach the terminal."""

import json
import logging

import click
import pytest
from barlowtf_cli.main import OneLineErrors
from barlowtf_cli.options import json_option
from barlowtf_cli.output import PrintableFormatter, echo
from click.testing import CliRunner

from barlowtf.errors import DataError

NAME = "\x1b]0;owned\x07\x1b[2J\u202ecat\nfake line"


@click.group(cls=OneLineErrors)
def commands():
    pass


@commands.command()
def shows():
    echo(f"class {NAME}")


@commands.command()
@json_option
def fails(as_json):
    raise DataError(f"Invalid image: {NAME}.")


def test_what_a_command_prints():
    output = CliRunner().invoke(commands, ["shows"]).output
    assert output == "class \\x1b]0;owned\\x07\\x1b[2J\\u202ecat\nfake line\n"


def test_an_error_is_one_line():
    result = CliRunner().invoke(commands, ["fails"])
    assert result.exit_code == 1
    assert result.output == "Error: Invalid image: \\x1b]0;owned\\x07\\x1b[2J\\u202ecat fake line.\n"
    told = CliRunner().invoke(commands, ["fails", "--json"])
    assert json.loads(told.stdout)["error"]["message"].isprintable()


@pytest.mark.parametrize("value", [NAME, DataError(NAME)])
def test_what_is_put_into_the_log_stays_on_its_line(value):
    record = logging.LogRecord("barlowtf", logging.INFO, "", 0, "Left out: %s, %d.\nNext", (value, 3), None)
    lines = PrintableFormatter().format(record).split("\n")
    assert lines == ["Left out: \\x1b]0;owned\\x07\\x1b[2J\\u202ecat\\nfake line, 3.", "Next"]
