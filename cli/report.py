"""`barlowtf report`."""

import json
from pathlib import Path

import click

from .given import DATA
from .options import json_option
from .output import echo, on_one_line
from .tensorflow import start_tensorflow


@click.command(short_help="Write one HTML page about one or several runs.")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("report.html"),
    show_default=True,
    metavar="FILE",
    help="Path of the page.",
)
@click.option(
    "--images",
    type=click.IntRange(min=2, max=5000),
    default=1000,
    show_default=True,
    help="Maximum number of test images in the map of each run.",
)
@click.option("--data", "source", type=DATA, metavar="SPEC", help="Images of the map. Default: the data of each run.")
@json_option
def report(runs: tuple[Path, ...], out: Path, images: int, source: str | None, as_json: bool) -> None:
    """Write one HTML page about one or several runs, side by side.

    Curves, pictures of the cross-correlation, results, a map of the features and nearest neighbors. The page is one
    file and opens without a network. An unfinished run gives a page of what there is.

    \b
    Examples:
      barlowtf report runs/digits --out report.html
      barlowtf report runs/first runs/second --out compared.html
    """
    start_tensorflow()
    from barlowtf.experiment import ReportRequest
    from barlowtf.experiment import report as write

    summary = write(ReportRequest(runs, out, images=images, data=source))
    if as_json:
        echo(json.dumps(summary.model_dump(mode="json"), indent=2))
        return
    for run in on_one_line(summary).runs:
        name = f"{run.name:<12}" if len(run.name) < 12 else f"{run.name}  "
        echo(f"{name}{run.status}, {_count(run.results, 'result')}, {_count(run.images, 'image')}")
        for note in run.notes:
            echo(f"{'':<12}{note}")
    echo(f"{'report':<12}{out} ({summary.bytes / 1e6:.1f} MB)")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
