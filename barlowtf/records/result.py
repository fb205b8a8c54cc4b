"""A result of an evaluation: one JSON file per measurement."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from barlowtf.errors import CheckpointError
from barlowtf.records.encoder_facts import EncoderFacts
from barlowtf.records.files import Record, read_record, write_record
from barlowtf.records.ranges import LARGEST_SHARE, Amount, Count, Share
from barlowtf.records.surroundings import Surroundings


class Measure(Record):
    """One of the scores that a protocol reports, and how it prints."""

    name: str = Field(description="its key in scores")
    title: str = Field(description="what tables call it")
    headline: bool = Field(False, description="whether its cell explains why a published number is not comparable")
    percent: bool = Field(True, description="true: a share in [0, 1], printed in percent; false: printed as it is")


class DataFacts(Record):
    """The images of a measurement."""

    source: str = Field(description="SPEC of the data")
    test_source: str | None = Field(None, description="SPEC of the test images; null: those of source")
    train_images: Count = Field(description="number of training images")
    test_images: Count = Field(description="number of test images")
    classes: Count = Field(description="number of classes")
    class_names: tuple[str, ...] | None = Field(description="name of each class; null: the classes are only numbered")
    fingerprints: dict[str, str] = Field(description="split -> sha256 of what identifies its data")
    held_out: Share | None = Field(
        None, description="share of the images that the seed held out as test images; null: there is a test split"
    )


class Subset(Record):
    """How the labeled images were chosen."""

    kind: Literal["list", "class-balanced draw"] = Field(description="named by a file, or drawn")
    images: Count = Field(description="number of labels used")
    sha256: str = Field(description="of the image numbers")
    file: str | None = Field(None, description="path of the list")
    list_sha256: str | None = Field(None, description="sha256 of the bytes of the list")
    fraction: Share | None = Field(None, description="share of the labels that was drawn")
    seed: Count | None = Field(None, description="seed of the draw")


class Result(Surroundings):
    """The content of a result file."""

    protocol: str = Field(description="name of the protocol")
    variant: str = Field(description="variant of the protocol: repository, paper, small, ...")
    settings: dict[str, Any] = Field(description="every setting of the measurement")
    changed_settings: tuple[str, ...] = Field(description="settings that differ from the variant, one line each")
    encoder: EncoderFacts = Field(description="the encoder")
    data: DataFacts = Field(description="the images")
    labels: Count = Field(description="number of labels used")
    subset: Subset | None = Field(description="how they were chosen; null: all of them")
    seed: Count = Field(description="seed of heads, order, crops and draws")
    scores: dict[str, float] = Field(description="name of a measure -> value")
    measures: tuple[Measure, ...] = Field(
        description="the scores that tables show, the first one first; none: all scores, by their names"
    )
    details: dict[str, Any] = Field(description="what else the protocol reports: reported epoch, chosen penalty, ...")
    published: dict[str, float] | None = Field(description="name of a measure -> published value; null: there is none")
    not_comparable: str | None = Field(description="why those are not comparable to this result; null: they are")
    head: str | None = Field(description="path of head.keras, relative to this file; null: no head")
    head_sha256: str | None = Field(None, description="of the weights of head.keras; null: no head")
    sheet: str | None = Field(
        None, description="path of sheet.jpg, a picture of test images, relative to this file; null: no picture"
    )
    seconds: Amount = Field(description="wall time of the measurement, s")
    per_class: tuple[Share | None, ...] = Field(description="score of each class; null: no test image")
    per_class_title: str = Field("Accuracy by class", description="what the scores of the classes are")
    confusion_matrix: tuple[tuple[Count, ...], ...] | None = Field(
        description="test images by true class (row) and predicted class; null: classes do not exclude each other"
    )

    @model_validator(mode="after")
    def _hold_together(self) -> Self:
        if self.shown_measures[:1] and self.shown_measures[0].name not in self.scores:
            raise ValueError(f"scores lack {self.shown_measures[0].name[:80]!r}, the first of measures")
        if not self.scores:
            raise ValueError("scores are empty")
        for measure in self.measures:
            score = self.scores.get(measure.name, 0.0)
            if measure.percent and not 0 <= score <= LARGEST_SHARE:
                raise ValueError(f"scores[{measure.name[:80]!r}] is {score}, expected a share in [0, 1]")
        matrix = self.confusion_matrix
        if matrix is not None and any(len(row) != len(matrix) for row in matrix):
            raise ValueError("confusion_matrix is not square")
        return self

    @property
    def shown_measures(self) -> tuple[Measure, ...]:
        """The scores that tables show, in their order."""
        return self.measures or tuple(Measure(name=name, title=name) for name in self.scores)


def read_result(path: Path) -> Result:
    """Returns the result in a file.

    Raises:
        CheckpointError: It is missing, damaged, or something else.
    """
    return read_record(path, Result)


def write_result(path: Path, result: Result) -> None:
    """Writes a result, one top-level key per line."""
    write_record(path, result)


def read_results(folder: Path) -> tuple[list[Result], list[str]]:
    """Returns the results in a folder, and what is wrong with each other JSON file in it.

    Returns:
        The results in the order of their file names; one line per file that is not a result, with its path.
    """
    results, faults = [], []
    for path in sorted(folder.glob("*.json")):
        try:
            results.append(read_result(path))
        except CheckpointError as error:
            faults.append(str(error))
    return results, faults
