"""`barlowtf data`."""

import json

import click

from .options import data_option, json_option, split_option
from .tensorflow import start_tensorflow


@click.group(short_help="Describe a data set, or pack it into a few files.")
def data() -> None:
    """Describe a data set, or pack it into a few files.

    Example: barlowtf data show --data digits
    """


@data.command(short_help="Print what the images are like.")
@data_option("Images to describe.", required=True)
@split_option
@json_option
def show(source: str, split: str, as_json: bool) -> None:
    """Print the number of images and classes of a data set, and what a sample of 256 images is like.

    Example: barlowtf data show --data cifar10/ --split test
    """
    start_tensorflow()
    from barlowtf.experiment import describe_data, explain_data

    facts = describe_data(source, split)
    click.echo(json.dumps(facts.model_dump(mode="json"), indent=2) if as_json else explain_data(facts))


@data.command(short_help="Pack images into TFRecord files.")
@data_option("Images to pack.", required=True)
@split_option
@click.option("--out", metavar="PREFIX", required=True, help="Path of the files: PREFIX-00000-of-00008.tfrecord, ...")
@click.option("--shards", type=click.IntRange(min=1), default=8, show_default=True, help="Number of files.")
@json_option
def pack(source: str, split: str, out: str, shards: int, as_json: bool) -> None:
    """Pack a data set into TFRecord files, which read faster than many small files.

    Example: barlowtf data pack --data cifar10/ --out packed/cifar10-train
    """
    start_tensorflow()
    from barlowtf.experiment import pack_data

    packed = pack_data(source, split, out, shards=shards)
    text = f"{packed.images:,} images in {len(packed.files)} files\nnext        --data 'tfrecord:{out}-*.tfrecord'"
    click.echo(json.dumps(packed.model_dump(mode="json"), indent=2) if as_json else text)
