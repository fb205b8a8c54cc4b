"""From runs to one page of HTML that needs nothing else."""

import base64
import gzip
from dataclasses import dataclass
from datetime import datetime

import jinja2
import numpy as np
from plotly.offline import get_plotlyjs

from barlowtf.records.grouping import format_value
from barlowtf.report.atlas import COLORS, SHAPES, SIDE, Atlas, make_atlas
from barlowtf.report.contents import RunContents
from barlowtf.report.curves import make_charts
from barlowtf.report.facts import compare_settings, describe_origins, describe_runs
from barlowtf.report.glance import glance_at
from barlowtf.report.numbers import format_number
from barlowtf.report.pictures import Picture, Sprite, event_pictures, png_picture
from barlowtf.report.results import MOST_CELLS, Confusion, describe_results

# Runs take seven colors and four line styles in turn: 28 look different.
_RUN_COLORS, _DASHES = 7, 4
_PICTURES = (
    ("cross_correlation", "Cross-correlation C of the embeddings of both views, |C_ij|"),
    ("view_pairs", "View pairs: view a above, view b below"),
    ("local_views", "Local views of the same images"),
)


@dataclass(frozen=True)
class _RunPictures:
    """Pictures of one run: (title, step, picture)."""

    run: int
    pictures: list[tuple[str, int, Picture]]


def render_page(runs: list[RunContents], *, created: datetime, version: str) -> str:
    """Returns the page about one or several runs.

    Args:
        runs: At least one.
        created: When, for the foot of the page.
        version: Of barlowtf, for the foot of the page.
    """
    atlases = [_atlas(run) for run in runs]
    pictures = [_RunPictures(number, _pictures(run)) for number, run in enumerate(runs)]
    charts = make_charts(runs)
    # Two runs on the same images have the same sprite: the page holds it once.
    sprites: dict[str, Sprite] = {}
    for atlas in filter(None, atlases):
        for sprite in filter(None, (atlas.sprite, atlas.neighbor_sprite)):
            sprites[sprite.name] = sprite
    script_data = {
        "charts": {chart.key: chart.figure for chart in charts},
        "maps": {str(number): atlas.as_data() for number, atlas in enumerate(atlases) if atlas is not None},
    }
    return (
        make_environment()
        .get_template("page.html.j2")
        .render(
            runs=runs,
            glances=[glance_at(run) for run in runs],
            facts=describe_runs(runs),
            origins=describe_origins(runs),
            settings=compare_settings(runs),
            charts=charts,
            plotly_script=_packed(get_plotlyjs()) if charts else "",
            groups=describe_results(runs),
            pictures=[each for each in pictures if each.pictures],
            atlases=atlases,
            sprites=sprites.values(),
            map_side=SIDE,
            script_data=script_data,
            created=created.strftime("%Y-%m-%d %H:%M %Z").strip(),
            version=version,
        )
    )


def make_environment() -> jinja2.Environment:
    """Returns what renders the templates of this package; everything that is put into them is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("barlowtf.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(format_number=format_number, percent=format_value, run_class=_run_class)
    environment.globals.update(colors=COLORS, shapes=SHAPES, most_cells=MOST_CELLS, confusion_picture=_picture_of)
    return environment


def _atlas(run: RunContents) -> Atlas | None:
    """Returns the maps of a run; None, and a note why, where there is nothing to draw."""
    if run.images is None:
        return None
    if len(run.images.ids) < 2:
        run.notes.append(f"{run.images.source} has one readable image: no map, no neighbors.")
        return None
    if not np.isfinite(run.images.features).all():
        run.notes.append("The encoder's features are not finite: no map, no neighbors. The run has diverged.")
        return None
    return make_atlas(run.images)


def _pictures(run: RunContents) -> list[tuple[str, int, Picture]]:
    try:
        found = event_pictures(run.folder.tensorboard, tuple(tag for tag, _ in _PICTURES))
    # TensorBoard's reader and the pictures inside raise what they like over files that are damaged or made up.
    except Exception as error:
        run.notes.append(f"No pictures: the event files cannot be read ({type(error).__name__}).")
        return []
    return [(title, *found[tag]) for tag, title in _PICTURES if tag in found]


def _picture_of(confusion: Confusion) -> Picture:
    """Returns the shares of a confusion matrix as a picture of one pixel a cell, dark where they are large."""
    return png_picture(np.round(255 * (1 - np.sqrt(confusion.shares)))[..., None].astype(np.uint8))


def _packed(script: str) -> str:
    """Returns a script as the page holds it, two fifths of its size: gzip in base64, which the browser unpacks."""
    return base64.b64encode(gzip.compress(script.encode(), 9, mtime=0)).decode()


def _run_class(number: int) -> str:
    """Returns the style classes of a run: its color and its line."""
    return f"r{number % _RUN_COLORS} d{number % _DASHES}"
