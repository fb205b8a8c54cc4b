"""What `barlowtf drift` finds."""

from typing import Literal

from pydantic import Field

from barlowtf.records.embed_manifest import EmbeddedData
from barlowtf.records.encoder_facts import EncoderFacts
from barlowtf.records.files import Record
from barlowtf.records.ranges import Amount, Count, Share, Size


class ComparedFeatures(Record):
    """The features of one of the two sets of images."""

    folder: str = Field(description="folder of the features")
    data: EmbeddedData = Field(description="the images")
    rows: Size = Field(description="number of images with features")
    sampled: Size = Field(description="number of them that were drawn at random for the comparison")
    drawn: Size = Field(description="number of these in each draw of a measure")


class DriftMeasure(Record):
    """A measure of the new images against the reference, and what the reference shows against itself."""

    name: Literal["frechet", "kernel", "coverage", "familiar"] = Field(
        description="squared Fréchet distance; unbiased squared kernel distance, which may be below 0; share of the "
        "reference images with a new one among their nearest; share of the new images among the nearest of a "
        "reference image"
    )
    value: float = Field(description="mean over the draws; distances in units of the reference's spread")
    low: float = Field(description="lower end of the 95 % interval of the value")
    high: float = Field(description="upper end of it")
    limit: float = Field(description="last usual value: of draws of the reference against itself")
    usual: Literal["up to", "from"] = Field(description="which side of the limit is usual: up to it, or from it on")
    p_value: Share = Field(
        description="share of the draws that are as far as the value: of these, or of parts of both kinds of images "
        "shuffled, whichever is larger"
    )
    drifted: bool = Field(description="whether the value is beyond the limit, and as rare among the shuffled parts")


class FarImage(Record):
    """A new image that is unlike the reference."""

    id: int = Field(description="number of the image in its data")
    path: str = Field(description="where it lies")
    label: str | None = Field(description="name, or number, of its class; null: no label")
    distance: Amount = Field(description="to its 10th nearest reference image, in units of the reference's spread")
    novelty: Share = Field(
        description="share of the reference images that lie closer to the 10th of their own neighbors"
    )


class DriftRecord(Record):
    """The answer of a comparison of two sets of features."""

    verdict: str = Field(description="what was found, one sentence")
    drifted: bool = Field(description="whether a test showed drift")
    same_images: bool = Field(description="whether both folders hold the features of the same images")
    encoder: EncoderFacts = Field(description="the encoder that made the features")
    reference: ComparedFeatures = Field(description="the reference images")
    new: ComparedFeatures = Field(description="the new images")
    measures: tuple[DriftMeasure, ...] = Field(description="what was measured")
    permutation_p: Share = Field(description="p-value of a permutation test of the kernel distance of all sampled")
    permutations: Size = Field(description="number of permutations in it")
    level: float = Field(description="largest probability of a drifted verdict without drift, over all tests")
    tests: Size = Field(description="number of tests, among which the level is divided")
    resamples: Size = Field(description="number of draws")
    neighbors: Size = Field(description="k of coverage and familiar")
    seed: int = Field(description="seed of all draws")
    spread: Amount = Field(description="root mean square distance of the reference's features from their mean")
    unlike: Count = Field(description="number of all new images with a novelty above 0.99")
    farthest: tuple[FarImage, ...] = Field(description="the new images farthest from the reference, farthest first")
    seconds: Amount = Field(description="wall time, s")
