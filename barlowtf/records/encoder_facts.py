"""The encoder that a result, an export or a set of features was made with."""

from typing import Any

from pydantic import Field

from barlowtf.records.files import Record


class EncoderFacts(Record):
    """What identifies an encoder and decides its features of an image."""

    name: str = Field(description="as the user gave it")
    kind: str = Field(description="run, keras, saved-model, torch, random or pixels")
    label: str = Field(description="trained, random or pixels")
    sha256: str = Field(description="of its weights")
    architecture: str = Field(description="sha256 of all but its weights")
    image_shape: tuple[int, int, int] = Field(description="height, width and channels of a view, pixels")
    mean: tuple[float, ...] = Field(description="of the normalization of images in [0, 1]")
    std: tuple[float, ...] = Field(description="of the normalization of images in [0, 1]")
    feature_width: int = Field(description="width of the features")
    parameters: int | None = Field(description="parameters and running statistics; null: unknown")

    @property
    def identity(self) -> dict[str, Any]:
        """What decides its features of an image: weights, architecture, and how the image is prepared."""
        keys = ("sha256", "architecture", "image_shape", "mean", "std")
        values = self.model_dump(mode="json")
        return {key: values[key] for key in keys}
