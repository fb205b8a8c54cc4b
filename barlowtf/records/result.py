"""A result of an evaluation: one JSON file a measurement."""

from typing import Any, Literal

from pydantic import Field

from barlowtf.records.encoder_facts import EncoderFacts
from barlowtf.records.files import Record
from barlowtf.records.surroundings import Surroundings


class DataFacts(Record):
    """The images of a measurement."""

    source: str = Field(description="SPEC of the data")
    train_images: int = Field(description="training images")
    test_images: int = Field(description="test images")
    classes: int = Field(description="number of classes")
    class_names: tuple[str, ...] | None = Field(description="name of each class; null: classes have numbers alone")
    fingerprints: dict[str, str] = Field(description="split -> sha256 of what identifies its data")


class Subset(Record):
    """How the labeled images were chosen."""

    kind: Literal["list", "class-balanced draw"] = Field(description="named by a file, or drawn")
    images: int = Field(description="labels used")
    sha256: str = Field(description="of the image numbers")
    file: str | None = Field(None, description="path of the list")
    list_sha256: str | None = Field(None, description="sha256 of the list's bytes")
    fraction: float | None = Field(None, description="share of the labels that was drawn")
    seed: int | None = Field(None, description="seed of the draw")


class Result(Surroundings):
    """The content of a result file."""

    protocol: str = Field(description="name of the protocol")
    variant: str = Field(description="variant of the protocol: repository, paper, small, ...")
    settings: dict[str, Any] = Field(description="every setting of the measurement")
    changed_settings: tuple[str, ...] = Field(description="settings that differ from the variant, one line each")
    encoder: EncoderFacts = Field(description="the encoder")
    data: DataFacts = Field(description="the images")
    labels: int = Field(description="number of labels used")
    subset: Subset | None = Field(description="how they were chosen; null: all of them")
    seed: int = Field(description="seed of heads, order, crops and draws")
    scores: dict[str, float] = Field(description="measure -> value in [0, 1]")
    details: dict[str, Any] = Field(description="what else the protocol reports: reported epoch, chosen penalty, ...")
    published: dict[str, float] | None = Field(description="the paper's numbers; null: there are none")
    not_comparable: str | None = Field(description="why they do not stand beside this result; null: they do")
    head: str | None = Field(description="path of head.keras, relative to this file; null: no head")
    seconds: float = Field(description="wall time of the measurement, s")
    per_class: tuple[float | None, ...] = Field(description="score of each class; null: no test image")
    confusion_matrix: tuple[tuple[int, ...], ...] | None = Field(
        description="test images by true class (row) and predicted class; null: classes do not exclude each other"
    )
