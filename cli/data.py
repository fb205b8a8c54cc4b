"""`barlowtf data`."""

import json

import click

from .options import JSON_OPTION
from .tensorflow import start_tensorflow

_SPEC = click.option(
    "--data", "source", metavar="SPEC", required=True, help="digits | a folder | tfds:NAME | tfrecord:GLOB."
)
_SPLIT = click.option(
    "--split", type=click.Choice(["train", "test"]), default="train", show_default=True, help="Which images."
)


@click.group(short_help="Look at images and pack them.")
def data() -> None:
    """Look at images and pack them.

    Example: barlowtf data show --data digits
    """


@data.command()
@_SPEC
@_SPLIT
@JSON_OPTION
def show(source: str, split: str, as_json: bool) -> None:
    """Show how many images and classes a data set has.

    Example: barlowtf data show --data cifar10/ --split test
    """
    start_tensorflow()
    from barlowtf.experiment import describe_data

    facts = describe_data(source, split)
    click.echo(
        json.dumps(facts, indent=2) if as_json else "\n".join(f"{key:12}{value}" for key, value in facts.items())
    )


@data.command()
@_SPEC
@_SPLIT
@click.option("--out", metavar="PREFIX", required=True, help="Files PREFIX-00000-of-00008.tfrecord, ...")
@click.option("--shards", type=click.IntRange(min=1), default=8, show_default=True, help="Number of files.")
@JSON_OPTION
def pack(source: str, split: str, out: str, shards: int, as_json: bool) -> None:
    """Pack a data set into TFRecord files, which read faster than many small files.

    Example: barlowtf data pack --data cifar10/ --out packed/cifar10-train
    """
    start_tensorflow()
    from barlowtf.data import open_source, write_tfrecords
    from barlowtf.errors import DataError

    opened = open_source(source, split)
    if opened is None:
        raise DataError(f"{source} has no {split} split.")
    paths = [str(path) for path in write_tfrecords(opened, out, shards=shards)]
    text = f"{opened.size:,} images in {len(paths)} files\nnext        --data 'tfrecord:{out}-*.tfrecord'"
    click.echo(json.dumps({"images": opened.size, "files": paths}, indent=2) if as_json else text)
