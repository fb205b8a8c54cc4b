"""A line of skipped.jsonl: an image that a command has passed over."""

from pydantic import Field

from barlowtf.records.files import Record


class SkippedImage(Record):
    """An image that cannot be read, and what was done without it."""

    image: str = Field(description="where it lies: a file, or a file and the number of the record")
    reason: str = Field(description="why it cannot be read")
    data: str = Field(description="name of the data")
    number: int = Field(description="number of the image in the data, from 0")
