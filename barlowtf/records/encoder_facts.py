"""The encoder that a result, an export or a set of features was made with."""

from typing import Any, Literal

from pydantic import Field

from barlowtf.records.files import Record
from barlowtf.records.ranges import Count, Size


class EncoderFacts(Record):
    """What identifies an encoder and decides its features of an image."""

    name: str = Field(description="as the user gave it")
    kind: str = Field(description="run, keras, saved-model, torch, random or pixels")
    label: str = Field(description="trained, random or pixels")
    sha256: str = Field(description="of its weights")
    architecture: str = Field(description="sha256 of all but its weights")
    image_shape: tuple[Size, Size, Size] = Field(description="height, width and channels of a view, pixels")
    mean: tuple[float, ...] = Field(description="of the normalization of images in [0, 1]")
    std: tuple[float, ...] = Field(description="of the normalization of images in [0, 1]")
    depth: Literal[8, 16] = Field(8, description="bits of a pixel of its images, 8 or 16")
    white: Size = Field(65535, description="value of a 16-bit pixel that counts as white")
    background: str = Field(
        "#ffffff", pattern="^#[0-9a-fA-F]{6}$", description="color behind transparent parts of its images"
    )
    feature_width: Size = Field(description="width of the features")
    parameters: Count | None = Field(description="parameters and running statistics; null: unknown")

    @property
    def identity(self) -> dict[str, Any]:
        """What decides its features of an image: weights, architecture, and how the image is prepared."""
        keys = ("sha256", "architecture", "image_shape", "mean", "std")
        values = self.model_dump(mode="json")
        # Those of 8 bits over white have the identity that they had before there was anything else.
        rendering = {key: values[key] for key in ("depth", "white", "background")}
        usual = {key: type(self).model_fields[key].default for key in rendering}
        return {key: values[key] for key in keys} | ({} if rendering == usual else rendering)
