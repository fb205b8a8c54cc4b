"""`barlowtf embed`."""

import json
from pathlib import Path
from typing import Literal

import click

from .given import DATA, ENCODER
from .options import json_option, trust_option, unreadable_option
from .output import echo
from .tensorflow import start_tensorflow


@click.command(short_help="Write the features of images.")
@click.option(
    "--encoder",
    type=ENCODER,
    required=True,
    metavar="ENCODER",
    help="A run, a .keras file, a SavedModel, a .pth file, random or pixels.",
)
@click.option(
    "--data", "source", type=DATA, required=True, metavar="SPEC", help="Images, as in pretrain, or one image file."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the features.")
@click.option(
    "--split", type=click.Choice(["train", "test"]), default="train", show_default=True, help="Split of the data."
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["parquet", "npy"]),
    default="parquet",
    show_default=True,
    help="Format of the files.",
)
@click.option("--config", metavar="NAME|FILE", help="Recipe of an encoder without one beside it.")
@unreadable_option("left out")
@trust_option
@json_option
def embed(
    encoder: str,
    source: str,
    out: Path,
    split: str,
    file_format: Literal["parquet", "npy"],
    config: str | None,
    trust: bool,
    max_unreadable: int | None,
    as_json: bool,
) -> None:
    """Write the features of images, in the order of the data set.

    Parquet: id, path, label and feature, 2,000 images per file. npy: features.npy, labels.npy and ids.npy. An
    interrupted command resumes when it is run again.

    \b
    Example:
      barlowtf embed --encoder runs/cifar --data cifar10/ --split test --out features
    """
    start_tensorflow()
    from barlowtf.experiment import EmbedRequest
    from barlowtf.experiment import embed as write

    request = EmbedRequest(
        encoder,
        source,
        out,
        split=split,
        file_format=file_format,
        config=config,
        trust=trust,
        max_unreadable=max_unreadable,
    )
    manifest = write(request)
    width = manifest.encoder.feature_width
    text = f"features    {manifest.rows:,} of width {width}, {manifest.format}\nfolder      {out}"
    values = {"folder": str(out), **manifest.model_dump(mode="json")}
    echo(json.dumps(values, indent=2) if as_json else text)
