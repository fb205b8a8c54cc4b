"""The record of an export: what was written, and how far it is from its source."""

from pydantic import Field

from barlowtf.records.encoder_facts import EncoderFacts
from barlowtf.records.files import Record
from barlowtf.records.ranges import Amount, Count
from barlowtf.records.surroundings import Surroundings


class HeadFacts(Record):
    """The classifier that was exported, and the result it comes from."""

    file: str = Field(description="the result")
    sha256: str = Field(description="of its weights")
    protocol: str = Field(description="protocol that trained it")
    variant: str = Field(description="variant of the protocol")
    seed: Count = Field(description="seed of the measurement")
    labels: Count = Field(description="number of labels it was trained with")
    scores: dict[str, float] = Field(description="measure -> value in [0, 1]")


class FileFigures(Record):
    """One exported file, run by a fresh process on some images and compared with its source."""

    images: Count = Field(description="number of images")
    largest_difference: dict[str, float] = Field(description="output -> largest absolute difference from the source")
    largest_value: dict[str, float] = Field(description="output -> largest absolute value of the source")
    least_cosine: float | None = Field(
        None, description="least cosine between features of the file and of the source; null: it gives no features"
    )
    top1_agreement: float | None = Field(None, description="share of images of the same class, in [0, 1]")
    top1_source: float | None = Field(None, description="accuracy of the source, in [0, 1]")
    top1: float | None = Field(None, description="accuracy of the file, in [0, 1]")
    milliseconds: Amount | None = Field(None, description="one image at a time, median, ms")
    bytes: Count | None = Field(None, description="size on disk, bytes")
    trained_precision_difference: float | None = Field(
        None, description="largest difference of the features in the precision of training from float32"
    )
    falls_short: str | None = Field(None, description="why the file is not good enough; null: it is")
    signatures: "dict[str, FileFigures] | None" = Field(None, description="of a SavedModel: signature -> figures")


class ComparedImages(Record):
    """The images on which an export was compared."""

    source: str = Field(description="where they come from")
    count: Count = Field(description="number of images")


class ExportRecord(Surroundings):
    """The content of an export's record."""

    format: str = Field(description="name of the format")
    settings: dict[str, str | int | bool | None] = Field(description="settings of the format")
    folder: str = Field(description="folder of this version")
    record: str = Field(description="this file")
    encoder: EncoderFacts = Field(description="what was exported")
    step: Count | None = Field(description="step of the checkpoint; null: the finished encoder")
    head: HeadFacts | None = Field(description="the classifier; null: features alone")
    class_names: tuple[str, ...] | None = Field(description="name of each class of the classifier")
    embedding_width: int | None = Field(description="width of the projector's embeddings; null: no projector")
    files: dict[str, FileFigures] = Field(description="file -> its figures")
    left_out: dict[str, str] = Field(description="file that was not written -> why")
    images: ComparedImages = Field(description="the images it was compared on")
    seconds: Amount = Field(description="wall time of the export, s")
