"""`barlowtf evaluate`."""

import json
from pathlib import Path

import click

from barlowtf.places import CONTROLS
from barlowtf.tables import PROTOCOLS

from .entry import EntryChoice
from .given import DATA, ENCODER, check_given
from .options import json_option, trust_option, unreadable_option
from .output import echo
from .seeds import parse_seeds
from .tensorflow import start_tensorflow

_CHOICES = {**PROTOCOLS.summaries, "FILE.py:NAME": "your own, see docs/extending.md"}
_LIST = "\n".join(f"{name:{max(map(len, _CHOICES))}}  {summary}" for name, summary in _CHOICES.items())
_HELP = f"""Measure encoders by one or several protocols and write a result file for each measurement.

\b
Protocols:
{_LIST}

\b
Without --protocol it answers "is it any good?": by those that fit the data and take minutes, beside the untrained
encoder and the pixels, with one sentence.

\b
Examples:
  barlowtf evaluate --encoder runs/photos --data labeled/
  barlowtf evaluate --protocol linear --encoder runs/cifar --data cifar10/
  barlowtf evaluate --protocol semi1 --encoder runs/digits --encoder random --encoder pixels --seeds 0,1,2
  barlowtf evaluate --protocol detection --encoder runs/cells --data cells-with-boxes/
  barlowtf evaluate --protocol linear --encoder resnet50.pth --data tfds:imagenet2012 --strategy mirrored

A measurement whose result file exists is not repeated; an interrupted one resumes.
"""


@click.command(short_help="Measure an encoder by the paper's protocols.", help=_HELP)
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    type=EntryChoice(PROTOCOLS),
    metavar="NAME|FILE.py:NAME",
    help="Protocol to measure by; repeat it for several. Default: those that fit the data and take minutes.",
)
@click.option(
    "--encoder",
    "encoders",
    type=ENCODER,
    multiple=True,
    required=True,
    metavar="ENCODER",
    help="Encoder to measure: a run, a .keras file, a SavedModel, a .pth or .safetensors file; or a control: random "
    "(the untrained encoder) or pixels (the images themselves). Repeat it for several; each has a column of the table.",
)
@click.option(
    "--data",
    "source",
    type=DATA,
    metavar="SPEC",
    help="Labeled images, as in pretrain. Default: the data of the first run.",
)
@click.option(
    "--eval-data",
    "test_source",
    type=DATA,
    metavar="SPEC",
    help="Test images of another data set, for detection and segmentation. Default: those of --data.",
)
@click.option(
    "--variant",
    metavar="NAME",
    help="Variant of the protocols that have it, e.g. paper (semi1, semi10) or small. Default: small below 10,000 "
    "images, tiny where they are tiny, else the first of each.",
)
@click.option(
    "--seeds",
    callback=parse_seeds,
    metavar="0,1,2",
    help="Seeds of heads, orders, draws, held-out images, untrained encoders; an interval from three on. Default: 0.",
)
@click.option(
    "--holdout",
    "held_out",
    type=click.FloatRange(0, 0.5, min_open=True),
    metavar="SHARE",
    help="Hold this share of the images out as test images, of each class, where the data has no test split; the seeds "
    "0,1,2,3,4 with 0.2 cross-validate. Default without --protocol: 0.2.",
)
@click.option("--subset", type=click.Path(path_type=Path), help="Text file with one labeled training image per line.")
@click.option("--subset-sha256", metavar="HEX", help="Expected SHA-256 of the file of --subset.")
@click.option(
    "--config", metavar="NAME|FILE", help="Recipe of the encoders that have none beside them, and of the controls."
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override one setting, e.g. epochs=10, or linear.epochs=10 for one protocol.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the results. Default: results in the folder of the first run.",
)
@click.option(
    "--strategy",
    type=click.Choice(["one", "mirrored"]),
    default="one",
    show_default=True,
    help="Devices: one, or all GPUs of this machine.",
)
@click.option(
    "--replicas",
    type=click.IntRange(min=1),
    help="With mirrored: number of GPUs, or of logical CPU devices where there is no GPU. Default: all GPUs.",
)
@unreadable_option("left out")
@trust_option
@json_option
def evaluate(
    protocols: tuple[str, ...],
    encoders: tuple[str, ...],
    source: str | None,
    test_source: str | None,
    variant: str | None,
    seeds: tuple[int, ...] | None,
    held_out: float | None,
    subset: Path | None,
    subset_sha256: str | None,
    config: str | None,
    overrides: tuple[str, ...],
    out: Path | None,
    strategy: str,
    replicas: int | None,
    trust: bool,
    max_unreadable: int | None,
    as_json: bool,
) -> None:
    """Measures encoders by protocols; `_HELP` is what the command line shows."""
    from barlowtf.config import load_recipe
    from barlowtf.errors import ConfigError

    check_given()
    named_in = None
    if source is None:
        named_in = _recipe_of(encoders, config)
        if named_in is None:
            raise ConfigError("Missing --data: no run among the encoders says which data it is for. Add --data SPEC.")
        source = load_recipe(named_in).data.source
    start_tensorflow()
    from barlowtf.data import require_trusted_data
    from barlowtf.evaluation import results_table
    from barlowtf.experiment import EvaluateRequest, results_folder
    from barlowtf.experiment import evaluate as measure
    from barlowtf.records import judge

    if named_in not in (None, config):
        require_trusted_data(source, named_in=named_in, trust=trust)
    request = EvaluateRequest(
        protocols=protocols,
        encoders=encoders,
        source=source,
        test_source=test_source,
        variant=variant,
        seeds=seeds,
        held_out=held_out,
        overrides=overrides,
        subset=subset,
        subset_sha256=subset_sha256,
        config=config,
        out=out,
        strategy=strategy,
        replicas=replicas,
        trust=trust,
        max_unreadable=max_unreadable,
    )
    results, folder = measure(request), results_folder(request)
    if as_json:
        listed = [result.model_dump(mode="json") for result in results]
        told = {"folder": str(folder), "verdict": judge(results), "results": listed}
        echo(json.dumps(told, indent=2))
    else:
        echo("\n\n".join([results_table(results), *judge(results), f"results     {folder}"]))


def _recipe_of(encoders: tuple[str, ...], config: str | None) -> str | None:
    """Returns the recipe of the first run among the encoders, also of its encoder.keras, or the one that is given."""
    beside = (
        (path if path.is_dir() else path.parent) / "recipe.toml"
        for path in map(Path, encoders)
        if str(path) not in CONTROLS
    )
    recipes = [str(path) for path in beside if path.exists()] + ([] if config is None else [config])
    return recipes[0] if recipes else None
