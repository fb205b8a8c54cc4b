"""A page of thumbnails: what was looked for, and the images that were found. One file that needs nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from barlowtf.records import SearchRecord
from barlowtf.report.page import make_environment
from barlowtf.report.pictures import Picture


@dataclass(frozen=True)
class ShownImage:
    """An image of the page.

    Attributes:
        picture: Its thumbnail; None: it cannot be read.
        path: Where it lies.
        label: Name of its class, or None.
        distance: To the query, in [0, 2]; None: it is the query.
    """

    picture: Picture | None
    path: str
    label: str | None
    distance: float | None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class ShownQuery:
    """What was looked for, and the images that were found, the nearest first."""

    image: ShownImage
    matches: Sequence[ShownImage]


def render_sheet(record: SearchRecord, queries: Sequence[ShownQuery], *, created: datetime, version: str) -> str:
    """Returns the page of a search.

    Args:
        record: What was searched.
        queries: What was looked for and found.
        created: When, for the foot of the page.
        version: Of barlowtf, for the foot of the page.
    """
    template = make_environment().get_template("sheet.html.j2")
    when = created.strftime("%Y-%m-%d %H:%M %Z").strip()
    return template.render(record=record, queries=queries, created=when, version=version)
