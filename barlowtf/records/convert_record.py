"""What a conversion between PyTorch and Keras has read and written."""

from pydantic import Field

from barlowtf.records.files import Record


class ConvertedEncoder(Record):
    """The converted encoder."""

    name: str = Field(description="architecture and width, resnet50 or resnet18_w2")
    stem: str = Field(description="first layers: imagenet, small, small_padded or half")
    channels: int = Field(description="channels of its images")
    feature_width: int = Field(description="width of the features")
    sha256: str = Field(description="of its weights")


class RecordedComparison(Record):
    """How far its features are from the official output that is recorded for the same weights."""

    largest_difference: float = Field(description="largest absolute difference of the features")
    relative_difference: float = Field(description="that, divided by the largest feature")
    images: tuple[int, int, int, int] = Field(description="shape of the images, [N, H, W, C]")


class ConvertRecord(Record):
    """What `barlowtf convert` prints with --json."""

    files: dict[str, str] = Field(description="encoder, projector or state_dict -> path of the file")
    encoder: ConvertedEncoder = Field(description="the encoder")
    projector: tuple[int, ...] | None = Field(description="widths of the projector; null: none")
    tensors: int = Field(description="number of tensors read or written")
    passed_over: tuple[str, ...] = Field(description="names of the tensors that were not used")
    layout: str | None = Field(
        description="project whose checkpoint layout was recognized; null: none, a given prefix, or written for PyTorch"
    )
    prefix: str | None = Field(
        description="what stands before the encoder's names, as --prefix takes it; null: written for PyTorch"
    )
    recorded: RecordedComparison | None = Field(description="null: no official output is recorded for these weights")
