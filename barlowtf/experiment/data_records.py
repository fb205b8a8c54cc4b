"""What a check of a data set has found, as records."""

from pydantic import Field

from barlowtf.data import SampleFacts
from barlowtf.records import Finding, Record


class CheckedSplit(Record):
    """One split, all of its images read."""

    images: int = Field(description="number of images")
    unreadable: dict[str, str] = Field(description="where an image lies that cannot be read -> why")
    flat: tuple[str, ...] = Field(description="where images lie that have one color throughout")
    other_channels: tuple[str, ...] = Field(description="where images lie that the settings do not fit")
    unlabeled: tuple[str, ...] = Field(description="where images lie that have no label while others have one")
    notes: tuple[str, ...] = Field(description="what was passed over, and what else may surprise")
    images_per_class: dict[str, int] | None = Field(description="class -> number of images; null: no labels")
    facts: SampleFacts | None = Field(description="formats, sizes, channels, mean, ...; null: no image can be read")


class ImageGroup(Record):
    """Images that are equal or nearly so."""

    images: tuple[str, ...] = Field(description="where each lies")
    splits: tuple[str, ...] = Field(description="split of each")
    labels: tuple[str | None, ...] = Field(description="class of each; null: no label")
    similarity: float = Field(description="least cosine that links one of them to the others; equal ones: 1")

    @property
    def leaks(self) -> bool:
        """Whether they lie in both splits."""
        return len(set(self.splits)) > 1

    @property
    def contradicts(self) -> bool:
        """Whether they have more than one label."""
        return len(set(self.labels) - {None}) > 1


class DataCheck(Record):
    """What is in a data set, and what of it harms."""

    source: str = Field(description="SPEC of the data")
    unreadable_folders: dict[str, str] = Field(description="where a folder lies that cannot be read -> why")
    splits: dict[str, CheckedSplit] = Field(description="train, and test where there is one")
    equal: tuple[ImageGroup, ...] = Field(description="images of equal decoded pixels, without those of one color")
    near: tuple[ImageGroup, ...] | None = Field(
        description="images that are nearly equal, of equal ones the first; null: not looked for"
    )
    compared_by: str | None = Field(description="encoder of the features that were compared, or pixels; null: none")
    similarity: float | None = Field(description="least cosine of near duplicates; null: not looked for")
    not_compared: int = Field(description="number of images of so little contrast that they resemble each other")
    settings: tuple[str, ...] = Field(description="settings of a recipe that fit these images, for --set")
    seconds: float = Field(description="wall time, s")
    findings: tuple[Finding, ...] = Field(description="what was found, worst first")
