"""manifest.json of a checkpoint: its step, and the bytes of its files."""

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from barlowtf.records.files import Record
from barlowtf.records.ranges import Count

# Names in the folder itself: a manifest from elsewhere leads nowhere else.
_NAME = StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$", max_length=100)
_INDEX = "state.index"


class FileDigest(Record):
    """The bytes of a file."""

    bytes: Count = Field(description="size, bytes")
    sha256: str = Field(description="of its bytes")


class CheckpointManifest(Record):
    """The content of a checkpoint's manifest.json."""

    step: Count = Field(description="number of finished steps")
    files: dict[Annotated[str, _NAME], FileDigest] = Field(description="file -> its bytes")

    @model_validator(mode="after")
    def _name_files(self) -> Self:
        if _INDEX not in self.files:
            raise ValueError(f"files lack {_INDEX}")
        return self
