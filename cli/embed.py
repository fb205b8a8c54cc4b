"""`barlowtf embed`."""

import json
from pathlib import Path

import click

from .options import json_option
from .tensorflow import start_tensorflow


@click.command(short_help="Write the features of images.")
@click.option("--encoder", required=True, metavar="ENCODER", help="A run, a .keras file, a SavedModel or a .pth file.")
@click.option("--data", "source", required=True, metavar="SPEC", help="digits | a folder | tfds:NAME | tfrecord:GLOB.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the features.")
@click.option("--split", type=click.Choice(["train", "test"]), default="train", show_default=True, help="Which images.")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["parquet", "npy"]),
    default="parquet",
    show_default=True,
    help="Of the files.",
)
@click.option("--config", metavar="NAME|FILE", help="Recipe of an encoder without one beside it.")
@json_option
def embed(
    encoder: str, source: str, out: Path, split: str, file_format: str, config: str | None, as_json: bool
) -> None:
    """Write the features of images, in the order of the data set.

    Parquet: id, path, label and feature, 2,000 images a file. npy: features.npy, labels.npy and ids.npy. The same
    command goes on where it was stopped.

    \b
    Example:
      barlowtf embed --encoder runs/cifar --data cifar10/ --split test --out features
    """
    start_tensorflow()
    from barlowtf.experiment import embed as write

    result = write(encoder, source, out, split=split, file_format=file_format, config=config)
    width = result["encoder"]["feature_width"]
    text = f"features    {result['rows']:,} of width {width}, {result['format']}\nfolder      {out}"
    click.echo(json.dumps({"folder": str(out), **result}, indent=2) if as_json else text)
