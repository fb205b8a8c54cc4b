"""_embed.json: which features a folder holds."""

from typing import Literal

from pydantic import Field

from barlowtf.records.encoder_facts import EncoderFacts
from barlowtf.records.files import Record
from barlowtf.records.ranges import Count, Size


class EmbeddedData(Record):
    """The embedded images."""

    source: str = Field(description="SPEC of the data")
    split: str = Field(description="train or test")
    images: Count = Field(description="number of images in the split")
    fingerprint: str = Field(description="sha256 of what identifies them")
    class_names: tuple[str, ...] | None = Field(
        None, description="name of each label; null: labels are numbers, there are none, or an older version wrote this"
    )


class EmbedManifest(Record):
    """The content of _embed.json."""

    encoder: EncoderFacts = Field(description="the encoder")
    data: EmbeddedData = Field(description="the images")
    format: Literal["parquet", "npy"] = Field(description="format of the files")
    part_rows: Size = Field(description="images between two saves")
    status: Literal["unfinished", "finished"] = Field(description="whether all images are there")
    rows: Count | None = Field(None, description="number of embedded images; images that cannot be read are left out")
    versions: dict[str, str] | None = Field(None, description="package -> version")
