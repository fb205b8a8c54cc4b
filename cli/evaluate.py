"""`barlowtf evaluate`."""

import json
from pathlib import Path

import click

from .options import json_option
from .tensorflow import start_tensorflow

_PROTOCOLS = ("linear", "linear-fast", "semi1", "semi10", "knn", "voc07", "places205", "inat18", "transfer")


def _seeds(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        seeds = tuple(int(seed) for seed in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is no list of numbers such as 0,1,2.") from error
    if min(seeds) < 0 or max(seeds) >= 2**31 or len(set(seeds)) < len(seeds):
        raise click.BadParameter(f"{value!r}: expected different numbers from 0 to {2**31 - 1}.")
    return seeds


@click.command(short_help="Measure an encoder by the paper's protocols.")
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    required=True,
    type=click.Choice(_PROTOCOLS),
    help="What to measure; may be given several times.",
)
@click.option(
    "--encoder",
    "encoders",
    multiple=True,
    required=True,
    metavar="ENCODER",
    help="A run, a .keras file, a SavedModel, a .pth file, or random (the untrained control); may be given several "
    "times: one column of the table each.",
)
@click.option("--data", "source", metavar="SPEC", help="As in pretrain; default: the data of the first run.")
@click.option(
    "--recipe",
    metavar="NAME",
    help="repository, paper (semi1, semi10) or small: for the protocols that have it. Default: the first.",
)
@click.option(
    "--seeds", default="0", show_default=True, callback=_seeds, metavar="0,1,2", help="Mean and interval over them."
)
@click.option("--subset", type=click.Path(path_type=Path), help="List of the labeled training images, one a line.")
@click.option("--subset-sha256", metavar="HEX", help="Refuse a list with other bytes.")
@click.option("--config", metavar="NAME|FILE", help="Recipe of an encoder without one beside it, and of random.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting: epochs=10, linear.epochs=10."
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the results. Default: results in the run.")
@click.option(
    "--strategy", type=click.Choice(["one", "mirrored"]), default="one", show_default=True, help="One device, all GPUs."
)
@click.option("--replicas", type=click.IntRange(min=1), help="With mirrored: so many logical CPU devices.")
@json_option
def evaluate(
    protocols: tuple[str, ...],
    encoders: tuple[str, ...],
    source: str | None,
    recipe: str | None,
    seeds: tuple[int, ...],
    subset: Path | None,
    subset_sha256: str | None,
    config: str | None,
    overrides: tuple[str, ...],
    out: Path | None,
    strategy: str,
    replicas: int | None,
    as_json: bool,
) -> None:
    """Measure an encoder by the paper's protocols and write results that say how they came about.

    \b
    linear       a linear classifier on the frozen encoder; linear-fast: on features that are extracted once
    semi1        the whole network, fine-tuned on 1 % of the labels; semi10: on 10 %
    knn          vote of the nearest neighbors
    voc07        linear support vector machines on VOC 2007, or on your own images of several labels
    places205, inat18, transfer    the linear transfer recipes, on any --data

    \b
    Examples:
      barlowtf evaluate --protocol linear --encoder runs/cifar --data cifar10/
      barlowtf evaluate --protocol semi1 --protocol knn --encoder runs/digits --encoder random --seeds 0,1,2
      barlowtf evaluate --protocol linear --encoder resnet50.pth --data tfds:imagenet2012 --strategy mirrored

    What is measured already is not measured again; an interrupted measurement goes on.
    """
    from barlowtf.config.protocols import find_all_settings
    from barlowtf.errors import ConfigError

    find_all_settings(protocols, recipe, overrides)  # Raises now, before TensorFlow starts.
    if source is None:
        source = _data_of(encoders, config)
        if source is None:
            raise ConfigError("No --data, and no run among the encoders that says which. Add --data SPEC.")
    start_tensorflow()
    from barlowtf.experiment import Request
    from barlowtf.experiment import evaluate as measure

    request = Request(protocols, encoders, source, recipe, seeds, overrides, subset, subset_sha256, config, out)
    records, table, folder = measure(request, strategy=strategy, replicas=replicas)
    text = f"{table}\n\nresults     {folder}"
    click.echo(json.dumps({"folder": str(folder), "results": records}, indent=2) if as_json else text)


def _data_of(encoders: tuple[str, ...], config: str | None) -> str | None:
    """Returns the data of the first run among the encoders, or of the recipe."""
    from barlowtf.config import load_recipe

    beside = (Path(name) / "recipe.toml" for name in encoders)
    recipes = [str(path) for path in beside if path.exists()] + ([] if config is None else [config])
    return load_recipe(recipes[0]).data.source if recipes else None
