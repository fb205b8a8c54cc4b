"""Options that several commands share."""

import click
import pytest
from barlowtf_cli.main import main


def commands(group):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", each) for inner, each in commands(command))
        else:
            yield name, command


@pytest.mark.parametrize(("name", "command"), list(commands(main)))
def test_each_command_that_loads_an_encoder_can_be_told_to_trust_it(name, command):
    options = {parameter.name for parameter in command.params}
    # pretrain takes none that is a SavedModel, and runs what recipes name; recipe and report load no code.
    loads = options & {"encoder", "encoders"} and name not in ("pretrain", "recipe")
    assert ("trust" in options) == bool(loads)
