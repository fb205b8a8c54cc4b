"""The record of predictions: which images, which encoder and head, how many of each label."""

from typing import Literal

from pydantic import Field

from barlowtf.records.embed_manifest import EmbeddedData
from barlowtf.records.encoder_facts import EncoderFacts
from barlowtf.records.export_record import HeadFacts
from barlowtf.records.files import Record
from barlowtf.records.surroundings import Surroundings


class BankFacts(Record):
    """The training images among which neighbors were looked for."""

    folder: str = Field(description="folder of their features, as `barlowtf embed` writes it")
    data: EmbeddedData = Field(description="the images")
    rows: int = Field(description="number of them that could be read")
    novelty_neighbors: int = Field(
        description="k of the novelty score, which ranks distances to the k-th nearest image"
    )
    novelty_images: int = Field(description="number of training images whose distances give the scale of the score")
    median_distance: float = Field(description="median of these distances, Euclidean")


class PredictionRecord(Surroundings):
    """The content of OUT.json beside the predictions OUT."""

    file: str = Field(description="the predictions")
    record: str = Field(description="this file")
    format: Literal["csv", "parquet", "jsonl"] = Field(description="format of the predictions")
    columns: tuple[str, ...] = Field(description="their columns")
    encoder: EncoderFacts = Field(description="the encoder")
    head: HeadFacts | None = Field(description="the classifier; null: labels, if any, are voted by neighbors")
    labeled_by: Literal["head", "neighbors"] | None = Field(description="what the labels come from; null: no labels")
    voters: int | None = Field(description="number of neighbors that vote for a label; null: labels are the head's")
    class_names: tuple[str, ...] | None = Field(description="names that labels are taken from; null: no labels")
    data: EmbeddedData = Field(description="the new images")
    rows: int = Field(description="number of rows, one for each image")
    unreadable: int = Field(description="number of images that cannot be read; their rows say why in `error`")
    unreadable_examples: dict[str, str] = Field(description="some of these: path -> why")
    labels: dict[str, int] | None = Field(description="label -> number of images, most first; null: no labels")
    mean_probability: float | None = Field(description="mean probability of the labels, in [0, 1]; null: no labels")
    bank: BankFacts | None = Field(description="the training images; null: no neighbors and no novelty score")
    no_bank: str | None = Field(description="why there is no bank; null: there is one")
    unlike: int | None = Field(description="number of images with a novelty above 0.99; null: no score")
    seconds: float = Field(description="wall time, s")
