"""How much a command says, and what it says of options that are settings."""

import json
import logging

import click
import pytest
from barlowtf_cli.main import OneLineErrors, main
from barlowtf_cli.verbosity import LOGGER, add_verbosity, start_log, tell
from click.testing import CliRunner

from barlowtf.errors import DataError
from tests.cli.test_main import commands


@pytest.fixture
def group():
    """A command that says everything a command can say."""
    before = LOGGER.level, LOGGER.handlers[:], LOGGER.propagate

    @click.group(cls=OneLineErrors)
    def program():
        start_log()

    @click.command()
    @click.option("--fail", is_flag=True)
    def speak(fail):
        LOGGER.info("progress")
        tell("reasons")
        LOGGER.warning("warning")
        click.echo("result")
        if fail:
            raise DataError("No images.")

    program.add_command(add_verbosity(speak))
    yield program
    LOGGER.setLevel(before[0])
    LOGGER.handlers[:], LOGGER.propagate = before[1:]


def test_a_command_tells_what_it_does(group):
    shown = CliRunner().invoke(group, ["speak"])
    assert (shown.stdout, shown.stderr) == ("result\n", "progress\nreasons\nwarning\n")


def test_quiet_leaves_warnings_errors_and_the_result(group):
    shown = CliRunner().invoke(group, ["speak", "--fail", "--quiet"])
    assert (shown.exit_code, shown.stdout, shown.stderr) == (1, "result\n", "warning\nError: No images.\n")


def test_verbose_shows_where_an_error_comes_from(group):
    shown = CliRunner().invoke(group, ["speak", "--fail", "-v"])
    assert shown.exit_code == 1
    assert "Traceback" in shown.stderr and shown.stderr.endswith("Error: No images.\n")
    assert "Traceback" not in CliRunner().invoke(group, ["speak", "--fail"]).stderr
    assert LOGGER.level == logging.INFO


@pytest.mark.parametrize(
    ("path", "command"), list(commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_takes_quiet_and_verbose(path, command):
    if not isinstance(command, click.Group):
        assert {"quiet", "verbose"} <= {parameter.name for parameter in command.params}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("pretrain --learning-rate 3", "For the setting optimizer.learning_rate: --set optimizer.learning_rate=VALUE."),
        ("pretrain --train-seed=3", "For the setting train.seed: --set train.seed=VALUE."),
        ("pretrain --epoch 3", "Did you mean '--epochs'?"),
        ("evaluate --epochs 3", "For a setting of a protocol: --set KEY=VALUE, for example --set epochs=10."),
    ],
)
def test_an_option_that_is_a_setting_says_how_it_is_set(words, message):
    shown = CliRunner().invoke(main, words.split())
    assert (shown.exit_code, message in shown.stderr) == (2, True)


@pytest.mark.parametrize("words", ["predct", "data chek", "pretrain --lambd=3", "evaluate"])
def test_what_is_wrong_with_a_command_line_is_json_too(words):
    shown = CliRunner().invoke(main, [*words.split(), "--json"])
    assert shown.exit_code == 2
    assert json.loads(shown.stdout)["error"]["message"]
