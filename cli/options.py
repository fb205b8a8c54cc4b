"""Options that several commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])

JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")


def recipe_options(function: Function) -> Function:
    """Adds --config, --data and --set."""
    for option in (
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="KEY=VALUE",
            help="Override one setting, e.g. train.epochs=100.",
        ),
        click.option(
            "--data",
            "source",
            metavar="SPEC",
            help="digits | a folder | tfds:NAME | tfrecord:GLOB. Default: the recipe's data.source.",
        ),
        click.option(
            "--config",
            default="digits",
            show_default=True,
            metavar="NAME|FILE",
            help="A packaged recipe (digits, cifar10, imagenet-1000ep, ...) or a TOML file.",
        ),
    ):
        function = option(function)
    return function


def strategy_options(function: Function) -> Function:
    """Adds --strategy and --replicas."""
    for option in (
        click.option(
            "--replicas",
            type=click.IntRange(min=1),
            help="With mirrored: so many logical CPU devices instead of the machine's GPUs.",
        ),
        click.option(
            "--strategy",
            type=click.Choice(["one", "mirrored", "multiworker", "tpu"]),
            default="one",
            show_default=True,
            help="One device; all GPUs of this machine; all workers of TF_CONFIG or a SLURM step; a TPU.",
        ),
    ):
        function = option(function)
    return function
