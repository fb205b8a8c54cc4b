"""`barlowtf search`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from barlowtf.places import short_spec

from .given import ENCODER, FEATURES, PHOTO
from .options import json_option, trust_option
from .output import echo, on_one_line
from .tensorflow import start_tensorflow

if TYPE_CHECKING:
    from barlowtf.records import SearchRecord


@click.command(short_help="Find the images most similar to a photo.")
@click.argument("photos", metavar="[PHOTO]...", nargs=-1, type=PHOTO)
@click.option(
    "--in",
    "features",
    required=True,
    type=FEATURES,
    metavar="FEATURES",
    help="Folder that barlowtf embed wrote: its images are searched.",
)
@click.option(
    "--k", "matches", type=click.IntRange(min=1), default=10, show_default=True, help="Number of images to find."
)
@click.option("--id", "ids", type=click.IntRange(min=0), multiple=True, help="Look for an image of the folder itself.")
@click.option(
    "--encoder",
    type=ENCODER,
    metavar="ENCODER",
    help="Encoder of the features. Default: the one that they name, where it lay.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="HTML page of thumbnails to write as well."
)
@click.option("--config", metavar="NAME|FILE", help="Recipe of an encoder without one beside it.")
@trust_option
@json_option
def search(
    photos: tuple[str, ...],
    features: str,
    matches: int,
    ids: tuple[int, ...],
    encoder: str | None,
    out: Path | None,
    config: str | None,
    trust: bool,
    as_json: bool,
) -> None:
    """Find the images most similar to one photo, or to each of several.

    By the cosine distance of their features: 0 is equal. Every image of the folder is compared.

    \b
    Examples:
      barlowtf search photo.jpg --in features
      barlowtf search photo.jpg --in features --k 20 --out similar.html
      barlowtf search --id 17 --in features
    """
    start_tensorflow()
    from barlowtf.experiment import SearchRequest
    from barlowtf.experiment import search as find

    record = find(SearchRequest(Path(features), photos, ids, matches, encoder, config, out, trust))
    echo(json.dumps(record.model_dump(mode="json"), indent=2) if as_json else _text(on_one_line(record)))


def _text(record: "SearchRecord") -> str:
    """Returns what was found, a table for each query."""
    lines = []
    for answer in record.queries:
        own = "" if answer.label is None else f", {answer.label}"
        lines.append(answer.query if answer.id is None else f"{answer.query} (id {answer.id}{own})")
        width = max([5, *(len(match.label or "") for match in answer.matches)])
        for rank, match in enumerate(answer.matches, start=1):
            label = "" if match.label is None else f"{match.label:<{width}}  "
            lines.append(f"{rank:>4}  {match.distance:.4f}  {label}{match.path}  (id {match.id})")
        lines.append("")
    lines += [f"unreadable  {path}: {reason}" for path, reason in record.unreadable.items()]
    lines.append(
        f"searched    {record.rows:,} images of {short_spec(record.data.source)} in {record.search_seconds:.2f} s"
    )
    if record.sheet is not None:
        lines.append(f"page        {record.sheet}")
    return "\n".join(lines)
