"""A recipe that is chosen instead of named: the options of `pretrain` and `recipe`, and how the choice is shown."""

import json
import textwrap
from typing import TYPE_CHECKING

import click

from .options import Function

if TYPE_CHECKING:
    from barlowtf.data import SampleFacts
    from barlowtf.experiment import ChosenRecipe

# Option -> the setting that it is short for.
_EVERYDAY = {
    "epochs": "train.epochs",
    "batch_size": "train.batch_size",
    "image_size": "augment.size",
    "encoder": "model.encoder",
}
# Below this there are fewer images than an encoder has features.
_FEW_IMAGES = 500
_NAME_WIDTH, _TEXT_WIDTH, _WIDTH = 12, 44, 118


def budget_option(function: Function) -> Function:
    """Adds --budget."""
    return click.option(
        "--budget",
        metavar="TIME",
        help="Time that the run may take on this machine, such as 30m or 8h, for a recipe that is chosen from the "
        "images. Default: 1h, with a GPU 8h.",
    )(function)


def everyday_options(function: Function) -> Function:
    """Adds --epochs, --batch-size, --image-size and --encoder."""
    options = [
        click.option("--epochs", type=click.IntRange(min=1), help="Passes over the images; short for train.epochs."),
        click.option("--batch-size", type=click.IntRange(min=2), help="Images per step; short for train.batch_size."),
        click.option(
            "--image-size",
            type=click.IntRange(min=8),
            help="Height and width of a view, pixels; short for augment.size.",
        ),
        click.option("--encoder", metavar="NAME", help="Encoder to train, such as resnet18; short for model.encoder."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def overrides_of(overrides: tuple[str, ...], **everyday: str | int | None) -> tuple[str, ...]:
    """Returns all overrides: those of --set, and those of the everyday options that were given.

    Raises:
        UsageError: An option and --set are of one setting.
    """
    given = {name: value for name, value in everyday.items() if value is not None}
    for override in overrides:
        for name, value in given.items():
            if override.split("=", 1)[0].strip() == _EVERYDAY[name]:
                option = f"--{name.replace('_', '-')}"
                raise click.UsageError(
                    f"Both {option} {value} and --set {override} were given, which are of one setting. Leave one out."
                )
    return (*overrides, *(f"{_EVERYDAY[name]}={json.dumps(value)}" for name, value in given.items()))


def choices_of(chosen: "ChosenRecipe") -> list[dict[str, str]]:
    """Returns what was chosen and why, an object a line of `explain_choices`."""
    from barlowtf.choosing import START_SECONDS
    from barlowtf.config.durations import format_time

    rows = [("images", _images_text(chosen.facts), ""), ("machine", str(chosen.machine), "")]
    rows += [(name, choice.text, choice.reason) for name, choice in chosen.choices.items()]
    start = format_time(START_SECONDS)
    rows.append(("time", f"about {format_time(chosen.seconds)}, of which {start} to start and to measure", ""))
    rows += [("left out", text, "") for text in chosen.left_out]
    if chosen.facts.images < _FEW_IMAGES:
        few = f"{chosen.facts.images} images teach an encoder little. Add more, or start from weights with --init."
        rows.append(("note", few, ""))
    return [{"name": name, "text": text, "reason": reason} for name, text, reason in rows]


def explain_choices(chosen: "ChosenRecipe") -> str:
    """Returns what was chosen and why, one screen."""
    return "\n".join(_row(**choice) for choice in choices_of(chosen))


def _row(name: str, text: str, reason: str) -> str:
    start = f"{name:<{_NAME_WIDTH}}"
    if not reason:
        return f"{start}{text}"
    indent = " " * (_NAME_WIDTH + _TEXT_WIDTH)
    lines = textwrap.wrap(reason, _WIDTH - _NAME_WIDTH - _TEXT_WIDTH)
    if len(text) >= _TEXT_WIDTH:
        return "\n".join([f"{start}{text}", *(indent + line for line in lines)])
    return "\n".join([f"{start}{text:<{_TEXT_WIDTH}}{lines[0]}", *(indent + line for line in lines[1:])])


def _images_text(facts: "SampleFacts") -> str:
    sizes = "x".join(_range_text(values) for values in (facts.widths, facts.heights))
    kinds = ", ".join(facts.kinds)
    labels = f"{facts.classes} classes" if facts.has_labels else "no labels"
    unreadable = f", {facts.unreadable} of {facts.sampled} sampled unreadable" if facts.unreadable else ""
    return f"{facts.images:,} of {sizes} pixels, {kinds}, {facts.bits} bits, {labels}{unreadable}"


def _range_text(values: tuple[int, int, int]) -> str:
    return str(values[0]) if values[0] == values[2] else f"{values[0]}-{values[2]}"
