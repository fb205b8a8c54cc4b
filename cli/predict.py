"""`barlowtf predict`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from barlowtf.places import short_spec

from .given import FEATURES, HEAD
from .options import data_option, encoder_option, json_option, split_option, trust_option, unreadable_option
from .output import echo, on_one_line
from .tensorflow import start_tensorflow

if TYPE_CHECKING:
    from barlowtf.records import PredictionRecord

# Labels that the terminal shows.
_SHOWN = 8


@click.command(short_help="Label new images, and name the training images they resemble.")
@encoder_option()
@click.option(
    "--head",
    type=HEAD,
    metavar="RESULT",
    help="Classifier: a result file, or the name of a protocol that the run was measured by, for example linear-fast. "
    "Default: the 20 nearest training images vote.",
)
@data_option("New images, one image file too.", required=True)
@split_option
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File of the rows: .csv, .parquet or .jsonl.",
)
@click.option(
    "--in",
    "features",
    type=FEATURES,
    metavar="FEATURES",
    help="Features of the training images, a folder that barlowtf embed wrote. Default: those of the images that the "
    "head, or the run, was trained on; made when they are first needed, and kept in RUN/features.",
)
@click.option(
    "--neighbors",
    type=click.IntRange(min=0),
    metavar="K",
    help="Number of similar training images in a row; 0: none, and no novelty. Default: 5, or none where a head is "
    "given and the training images cannot be read.",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="K",
    help="Number of labels in a row, the most probable first.",
)
@click.option("--config", metavar="NAME|FILE", help="Recipe of an encoder without one beside it.")
@unreadable_option("rows that say so")
@trust_option
@json_option
def predict(
    encoder: str,
    head: str | None,
    source: str,
    split: str,
    out: Path,
    features: str | None,
    neighbors: int | None,
    top: int,
    config: str | None,
    trust: bool,
    max_unreadable: int | None,
    as_json: bool,
) -> None:
    """Label new images, and name the training images they resemble.

    One row for each image: id, path, label, probability, novelty, and the nearest training images with their classes
    and cosine distances. Novelty is the share of the training images that lie closer to the 10th of their own neighbors
    than the image does: above 0.99 it is unlike anything seen. An image that cannot be read has a row that says why. An
    interrupted command resumes when it is run again. Nothing is written into the folder of the images.

    \b
    Examples:
      barlowtf predict --encoder runs/cifar --head linear-fast --data new/ --out predictions.csv
      barlowtf predict --encoder runs/cells --data new/ --out predictions.parquet --in features
    """
    start_tensorflow()
    from barlowtf.experiment import PredictRequest
    from barlowtf.experiment import predict as write

    bank = None if features is None else Path(features)
    request = PredictRequest(encoder, source, out, head, split, bank, neighbors, top, config, trust, max_unreadable)
    record = write(request)
    echo(json.dumps(record.model_dump(mode="json"), indent=2) if as_json else _text(on_one_line(record)))


def _text(record: "PredictionRecord") -> str:
    """Returns what was predicted as lines of text."""
    lines = [("images", f"{record.rows:,} of {short_spec(record.data.source)}")]
    if record.unreadable:
        path, reason = next(iter(record.unreadable_examples.items()))
        lines.append(("unreadable", f"{record.unreadable:,}, for example {path}: {reason}"))
    if record.labels is not None:
        shown = [f"{label} {count:,}" for label, count in list(record.labels.items())[:_SHOWN]]
        lines.append(("labels", ", ".join(shown) + (", ..." if len(record.labels) > _SHOWN else "")))
        by = "the head" if record.voters is None else f"a vote of {record.voters} neighbors"
        lines.append(("", f"by {by}, mean probability {record.mean_probability:.2f}"))
    if record.bank is not None and record.unlike is not None:
        share = record.unlike / (record.rows - record.unreadable)
        lines.append(
            ("unlike", f"{record.unlike:,} ({share:.1%}) have a novelty above 0.99, as 1 % of the training images do")
        )
        lines.append(
            (
                "neighbors",
                f"of {record.bank.rows:,} images of {short_spec(record.bank.data.source)} ({record.bank.folder})",
            )
        )
    elif record.no_bank is not None:
        lines.append(("neighbors", f"none: {record.no_bank}"))
    lines += [("rows", record.file), ("record", record.record), ("time", f"{record.seconds:.0f} s")]
    return "\n".join(f"{name:<12}{text}" for name, text in lines)
