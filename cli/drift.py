"""`barlowtf drift`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from barlowtf.places import short_spec

from .given import FEATURES
from .options import json_option
from .output import echo, on_one_line
from .tensorflow import start_tensorflow

if TYPE_CHECKING:
    from barlowtf.records import ComparedFeatures, DriftRecord

_TITLES = {
    "frechet": "Fréchet distance",
    "kernel": "kernel distance",
    "coverage": "coverage",
    "familiar": "familiar",
}


@click.command(short_help="Compare new images with a reference, by their features.")
@click.argument("reference", type=FEATURES)
@click.argument("new", type=FEATURES)
@click.option(
    "--samples",
    # Each of the matrices of products and kernels takes 128 times the square of it, bytes.
    type=click.IntRange(20, 2000),
    default=1000,
    show_default=True,
    metavar="N",
    help="Maximum number of images of either folder in a draw; at most twice as many are sampled from each.",
)
@click.option(
    "--resamples",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    metavar="N",
    help="Number of draws behind the intervals and the usual ranges.",
)
@click.option(
    "--level",
    type=click.FloatRange(0.0001, 0.5),
    default=0.05,
    show_default=True,
    help="Probability of a drifted verdict where nothing has changed, all tests together.",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Seed of all draws.")
@click.option("--fail-on-drift", is_flag=True, help="End with exit status 1 if the new images have drifted.")
@json_option
def drift(
    reference: str,
    new: str,
    samples: int,
    resamples: int,
    level: float,
    seed: int,
    fail_on_drift: bool,
    as_json: bool,
) -> None:
    """Compare new images with a reference, by the features of one encoder.

    REFERENCE and NEW are folders that barlowtf embed wrote. Fréchet distance, kernel distance, coverage (share of the
    reference images with a new one among their nearest) and familiar (share of the new images that lie as near a
    reference image as its own neighbors do), each beside the range that parts of the reference have against each
    other; and the new images farthest from the reference. The exit status is 0 whatever is found.

    \b
    Examples:
      barlowtf drift reference received
      barlowtf drift reference received --fail-on-drift --json
    """
    start_tensorflow()
    from barlowtf.experiment import DriftRequest
    from barlowtf.experiment import drift as compare

    record = compare(DriftRequest(Path(reference), Path(new), samples, resamples, level, seed))
    echo(json.dumps(record.model_dump(mode="json"), indent=2) if as_json else _text(on_one_line(record)))
    if fail_on_drift and record.drifted:
        raise SystemExit(1)


def _text(record: "DriftRecord") -> str:
    """Returns what was found as lines of text."""
    lines = [
        f"reference   {_images(record.reference)}",
        f"new         {_images(record.new)}",
        "",
        f"{'':<18}{'value':>9}  {'95 % interval':<20}  reference against itself",
    ]
    for measure in record.measures:
        interval = f"{measure.low:.4f} to {measure.high:.4f}"
        mark = "   drifted" if measure.drifted else ""
        usual = f"{measure.usual} {measure.limit:.4f}"
        lines.append(f"{_TITLES[measure.name]:<18}{measure.value:>9.4f}  {interval:<20}  {usual}{mark}")
    share = record.unlike / record.new.rows
    lines += [
        f"{'permutation test':<18}{'p =':>4} {record.permutation_p:.3f}",
        "",
        f"unlike      {record.unlike:,} ({share:.1%}) have a novelty above 0.99, as 1 % of the reference images do",
        "farthest    distance  novelty",
    ]
    for rank, image in enumerate(record.farthest, start=1):
        label = "" if image.label is None else f"{image.label}  "
        lines.append(
            f"{rank:>4}        {image.distance:<8.4g}  {image.novelty:.4f}   {label}{image.path}  (id {image.id})"
        )
    lines += ["", f"time        {record.seconds:.0f} s", f"verdict     {record.verdict}"]
    return "\n".join(lines)


def _images(features: "ComparedFeatures") -> str:
    """Returns which images, and how many of them were looked at."""
    sampled = "" if features.sampled == features.rows else f"{features.sampled:,} sampled, "
    source = f"{short_spec(features.data.source)}, {features.data.split}"
    return f"{features.rows:,} images of {source} ({features.folder}); {sampled}{features.drawn:,} in each draw"
