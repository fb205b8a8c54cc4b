"""Control characters in names from elsewhere do not reach the terminal."""

import json
import logging

import click
import pytest
from barlowtf_cli.main import OneLineErrors
from barlowtf_cli.options import json_option
from barlowtf_cli.output import PrintableFormatter, echo, on_one_line
from click.testing import CliRunner
from pydantic import BaseModel

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


class Found(BaseModel):
    """What a command may have found, texts at any depth."""

    name: str
    count: int = 3
    counts: dict[str, tuple[str, ...]] = {}
    inner: list["Found"] = []


def test_names_in_a_record_make_no_line_of_their_own():
    found = Found(name="a\nb\tc", counts={"d\ne": ("f\n", "g")}, inner=[Found(name="h\n")])
    shown = on_one_line(found)
    assert (shown.name, shown.count, shown.counts) == ("a\\nb\\tc", 3, {"d\\ne": ("f\\n", "g")})
    assert shown.inner[0].name == "h\\n"
    assert found.name == "a\nb\tc"


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
