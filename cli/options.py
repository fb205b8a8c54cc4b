"""Options that several commands share, each defined once; what they list comes from the tables."""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import click

from barlowtf.launching import STRATEGIES
from barlowtf.tables import SOURCES

from .given import DATA, ENCODER

Function: TypeAlias = Callable[..., Any]
Decorator: TypeAlias = Callable[[Function], Function]

DATA_SYNTAX = (
    f"SPEC is {'; '.join(SOURCES.summaries.values())}; or a source of your own, package.module:name or file.py:name."
)


# Whether --json was given, in the notes that click keeps for all commands of one call.
AS_JSON = "barlowtf.as_json"


def json_option(function: Function) -> Function:
    """Adds --json as the argument `as_json`; an error is then JSON, too."""

    def note(context: click.Context, parameter: click.Parameter, value: bool) -> bool:
        context.meta[AS_JSON] = value
        return value

    option = click.option(
        "--json",
        "as_json",
        is_flag=True,
        # Before the others, whose values may be wrong.
        is_eager=True,
        callback=note,
        help="Print the result, or the error, as JSON on standard output.",
    )
    return option(function)


def data_option(purpose: str, *, required: bool = False, default: str | None = None) -> Decorator:
    """Returns what adds --data SPEC as the argument `source`.

    Args:
        purpose: What the images are for: "Training images."
        required: Whether the option must be given.
        default: What is used without it, for the help text: "the data of the run".
    """
    text = f"{purpose} {DATA_SYNTAX}" + ("" if default is None else f" Default: {default}.")
    return click.option("--data", "source", type=DATA, metavar="SPEC", required=required, help=text)


def split_option(function: Function) -> Function:
    """Adds --split as the argument `split`."""
    return click.option(
        "--split",
        type=click.Choice(["train", "test"]),
        default="train",
        show_default=True,
        help="Part of the data to use.",
    )(function)


def encoder_option(*, also: str = "", multiple: bool = False) -> Decorator:
    """Returns what adds --encoder as the argument `encoder`, or `encoders` where it may be repeated.

    Args:
        also: What else the command takes: "random, the untrained control".
        multiple: Whether the option may be repeated.
    """
    forms = "a run folder, a .keras file, a SavedModel, or PyTorch weights (.pth, .pt, .safetensors)"
    text = f"Encoder: {forms}{'; ' if also else ''}{also}.{' May be repeated.' if multiple else ''}"
    name = "encoders" if multiple else "encoder"
    return click.option("--encoder", name, type=ENCODER, required=True, multiple=multiple, metavar="ENCODER", help=text)


class _RecipeOption(click.Option):
    """An option whose help lists the packaged recipes, which are looked up only when the help is shown."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Returns the option's two columns of the help."""
        from barlowtf.config import named_recipes

        record = super().get_help_record(ctx)
        return None if record is None else (record[0], f"{record[1]}  Packaged: {', '.join(named_recipes())}.")


def trust_option(function: Function) -> Function:
    """Adds --trust as the argument `trust`."""
    return click.option(
        "--trust",
        is_flag=True,
        help="Run code that comes with the encoder: any operation of a SavedModel, and an encoder or data of its own "
        "(file.py:name) that a run names. Only for files whose maker you know.",
    )(function)


def config_option(purpose: str, *, default_text: str = "") -> Decorator:
    """Returns what adds --config NAME|FILE as the argument `config`.

    Args:
        purpose: What the recipe is for: "Recipe of the run".
        default_text: What is used without the option, for the help text.
    """
    return click.option(
        "--config",
        cls=_RecipeOption,
        metavar="NAME|FILE",
        help=f"{purpose}: name of a packaged recipe, or a TOML file."
        + (f" Default: {default_text}." if default_text else ""),
    )


def set_option(example: str) -> Decorator:
    """Returns what adds --set KEY=VALUE, which may be repeated, as the argument `overrides`."""
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help=f"Change one setting: {example}. May be repeated.",
    )


def unreadable_option(consequence: str) -> Decorator:
    """Returns what adds --max-unreadable as the argument `max_unreadable`.

    Args:
        consequence: What happens to images that cannot be read: "left out".
    """
    return click.option(
        "--max-unreadable",
        type=click.IntRange(min=0),
        metavar="N",
        help=f"Number of images that may be unreadable; they are {consequence} and listed. Default: "
        "data.max_unreadable of the run, 100 without one.",
    )


def strategy_options(*names: str) -> Decorator:
    """Returns what adds --strategy, one of the given names of `launching.STRATEGIES`, and --replicas."""
    devices = "; ".join(f"{name}: {STRATEGIES[name]}" for name in names)
    strategy = click.option(
        "--strategy",
        type=click.Choice(names),
        default=names[0],
        show_default=True,
        help=f"Devices to use; {devices}.",
    )
    replicas = click.option(
        "--replicas",
        type=click.IntRange(min=1),
        help="With mirrored: number of GPUs, or of logical CPU devices on a machine without GPUs. Default: all GPUs.",
    )
    return lambda function: _with_options(function, [strategy, replicas])


def _with_options(function: Function, options: Iterable[Decorator]) -> Function:
    """Returns the command with options, which its help lists in their order."""
    for option in reversed(list(options)):
        function = option(function)
    return function
