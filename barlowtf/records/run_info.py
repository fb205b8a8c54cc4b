"""run.json: what a pre-training run is, where it ran and how it ended."""

from typing import Literal

from pydantic import Field

from barlowtf.records.files import Record
from barlowtf.records.surroundings import Surroundings


class RunData(Record):
    """The training images."""

    source: str = Field(description="SPEC of the data")
    images: int = Field(description="number of training images")
    fingerprint: str = Field(description="sha256 of what identifies them")


class RunSteps(Record):
    """The length of a run."""

    total: int = Field(description="optimizer steps of the whole run")
    per_epoch: int = Field(description="optimizer steps of one pass over the data")


class RunResult(Record):
    """The figures of a finished run that a reader wants first."""

    knn_top1_random_encoder: float | None = Field(description="kNN accuracy before the first step, in [0, 1]")
    knn_top1: float | None = Field(description="kNN accuracy at the end, in [0, 1]")
    loss: float | None = Field(description="last recorded loss")
    images_per_second_median: float | None = Field(description="median of the recorded speeds, images/s")


class RunInfo(Surroundings):
    """The content of run.json."""

    status: Literal["running", "interrupted", "finished"] = Field(description="how far the run is")
    data: RunData = Field(description="the training images")
    steps: RunSteps = Field(description="the length of the run")
    parameters: int = Field(description="parameters and running statistics of encoder and projector")
    loss_terms: tuple[str, ...] = Field(description="names of the loss's terms in metrics.jsonl")
    wall_seconds: float | None = Field(None, description="wall time of all processes of the run, s")
    peak_memory_bytes: int | None = Field(None, description="largest resident memory of the last process, bytes")
    result: RunResult | None = Field(None, description="figures of a finished run")
