"""`barlowtf data`."""

import json

import click

from .given import DATA, ENCODER
from .options import DATA_SYNTAX, data_option, json_option, split_option, trust_option, unreadable_option
from .output import echo, on_one_line
from .tensorflow import start_tensorflow


@click.group(short_help="Describe a data set, check it, or pack it into a few files.")
def data() -> None:
    """Describe a data set, check it, or pack it into a few files.

    Example: barlowtf data show --data digits
    """


@data.command(short_help="Print what the images are like.")
@data_option("Images to describe.", required=True)
@split_option
@json_option
def show(source: str, split: str, as_json: bool) -> None:
    """Print the number of images, classes and objects of a data set, and what a sample of 256 images is like.

    Example: barlowtf data show --data cifar10/ --split test
    """
    start_tensorflow()
    from barlowtf.experiment import describe_data, explain_data

    facts = describe_data(source, split)
    echo(json.dumps(facts.model_dump(mode="json"), indent=2) if as_json else explain_data(on_one_line(facts)))


@data.command(short_help="Look for what harms: broken files, duplicates, leaks, ...")
@click.argument("source", type=DATA, metavar="SPEC")
@click.option(
    "--encoder",
    type=ENCODER,
    metavar="ENCODER",
    help="Compare all images by the features of an encoder, or by pixels: thumbnails of 16 x 16. Default: equal images "
    "alone are found.",
)
@click.option(
    "--similarity",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="COSINE",
    help="Least cosine of nearly equal images. Default: chosen by what is compared, and printed.",
)
@trust_option
@json_option
def check(source: str, encoder: str | None, similarity: float | None, trust: bool, as_json: bool) -> None:
    """Read every image of a data set, train and test, and report what harms.

    {syntax}

    Exit status 1 where something harms: images that cannot be read or have other channels, images of test that are in
    train too (nearly, with --encoder), equal images with different labels, images without a label among labeled ones,
    classes with one training image or with none. Notes do not change the status: duplicates within a split, images of
    one color, unequal or empty classes.

    \b
    Examples:
      barlowtf data check photos/
      barlowtf data check cifar10/ --encoder pixels
    """
    start_tensorflow()
    from barlowtf.experiment import CheckRequest, check_data, explain_check
    from barlowtf.records import harms

    checked = check_data(CheckRequest(source, encoder, similarity, trust=trust))
    echo(json.dumps(checked.model_dump(mode="json"), indent=2) if as_json else explain_check(on_one_line(checked)))
    if harms(checked.findings):
        raise SystemExit(1)


check.help = (check.help or "").format(syntax=DATA_SYNTAX)


@data.command(short_help="Pack images into TFRecord files.")
@data_option("Images to pack.", required=True)
@split_option
@click.option("--out", metavar="PREFIX", required=True, help="Path of the files: PREFIX-00000-of-00008.tfrecord, ...")
@click.option("--shards", type=click.IntRange(min=1), default=8, show_default=True, help="Number of files.")
@unreadable_option("left out")
@json_option
def pack(source: str, split: str, out: str, shards: int, max_unreadable: int | None, as_json: bool) -> None:
    """Pack a data set into TFRecord files, which read faster than many small files.

    Example: barlowtf data pack --data cifar10/ --out packed/cifar10-train
    """
    start_tensorflow()
    from barlowtf.experiment import pack_data

    packed = pack_data(source, split, out, shards=shards, max_unreadable=max_unreadable)
    text = f"{packed.images:,} images in {len(packed.files)} files\nnext        --data 'tfrecord:{out}-*.tfrecord'"
    echo(json.dumps(packed.model_dump(mode="json"), indent=2) if as_json else text)
