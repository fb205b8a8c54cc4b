"""What `barlowtf search` finds."""

from pydantic import Field

from barlowtf.records.embed_manifest import EmbeddedData
from barlowtf.records.encoder_facts import EncoderFacts
from barlowtf.records.files import Record


class Match(Record):
    """An image that is similar to a query."""

    id: int = Field(description="number of the image in its data")
    path: str = Field(description="where it lies")
    label: str | None = Field(description="name, or number, of its class; null: no label")
    distance: float = Field(description="cosine distance of its features to those of the query, in [0, 2]")


class QueryMatches(Record):
    """The images that are similar to one query, the nearest first."""

    query: str = Field(description="path of the photo, or of the image with the given id")
    id: int | None = Field(description="number of the query in the data; null: a photo")
    label: str | None = Field(description="name, or number, of its class; null: a photo, or no label")
    matches: tuple[Match, ...] = Field(description="the nearest images; a query with an id is not among them")


class SearchRecord(Record):
    """The answer of a search."""

    folder: str = Field(description="folder of the features")
    encoder: EncoderFacts = Field(description="the encoder that made them")
    data: EmbeddedData = Field(description="the images")
    rows: int = Field(description="number of features searched")
    queries: tuple[QueryMatches, ...] = Field(description="the queries in their order")
    unreadable: dict[str, str] = Field(description="photo that cannot be read -> why")
    search_seconds: float = Field(description="wall time of the search alone, s")
    sheet: str | None = Field(description="the HTML page of thumbnails; null: none was asked for")
