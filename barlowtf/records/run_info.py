"""run.json: what a pre-training run is, where it ran and how it ended."""

from typing import Literal

from pydantic import AliasChoices, Field

from barlowtf.records.files import Record
from barlowtf.records.ranges import Amount, Count, Share, Size
from barlowtf.records.surroundings import Surroundings


class RunData(Record):
    """The training images."""

    source: str = Field(description="SPEC of the data")
    images: Count = Field(description="number of training images")
    fingerprint: str = Field(description="sha256 over their names, sizes and a sample of their bytes")
    content: str | None = Field(None, description="sha256 over all their bytes; null: never read for it")
    accepted: tuple[str, ...] = Field((), description="earlier fingerprints, where other images were accepted")
    measured: tuple[str, ...] = Field((), description="fingerprints of the labeled images of the monitors, by split")
    sameness: str | None = Field(None, description="why nothing can be learned from them; null: nothing shows")


class RunSteps(Record):
    """The length of a run."""

    total: Count = Field(description="optimizer steps of the whole run")
    per_epoch: Size = Field(description="optimizer steps of one pass over the data")


class RunInit(Record):
    """The weights that a run has started from."""

    spec: str = Field(description="as the user gave it")
    sha256: str = Field(description="of the weights of its encoder")
    taken: tuple[str, ...] = Field(description="what was taken: encoder, projector")
    adapted: tuple[str, ...] = Field(description="what was changed to fit: the channels of the first convolution")


class RunParent(Record):
    """The run that a run has gone on from."""

    run: str = Field(description="its run folder")
    step: Count = Field(description="its step, of the checkpoint that was taken over")
    sha256: str = Field(description="of the weights of its encoder at that step")


class RunVerdict(Record):
    """What the curves of a run say at its end."""

    kind: str = Field(description="improving, changing, flat, past its best, nothing gained, collapsing or unclear")
    sentence: str = Field(min_length=1, description="it in words, with figures and what to do")
    notes: tuple[str, ...] = Field(description="what might look like a fault and is none")


class RunBest(Record):
    """The epoch whose training state was kept as the best."""

    measure: str = Field(description="checkpoint.keep_best of the recipe")
    step: Count = Field(description="its step")
    value: float = Field(description="the measure after it")


class RunResult(Record):
    """The figures of a finished run that a reader wants first."""

    # The second name is that of runs which were made before a run could start from weights.
    knn_top1_before: Share | None = Field(
        validation_alias=AliasChoices("knn_top1_before", "knn_top1_random_encoder"),
        description="kNN accuracy before the first step, in [0, 1]",
    )
    knn_top1: Share | None = Field(description="kNN accuracy at the end, in [0, 1]")
    knn_images: Count | None = Field(None, description="images that kNN classified; null: a run of an earlier version")
    knn_halved: bool = Field(False, description="whether these are one half of the labeled images and the other voted")
    loss: float | None = Field(description="last recorded loss")
    images_per_second_median: Amount | None = Field(description="median of the recorded speeds, images/s")
    best: RunBest | None = Field(None, description="best epoch by checkpoint.keep_best; null: none was kept")
    verdict: RunVerdict | None = Field(None, description="what the curves say; null: a run of an earlier version")


class RunInfo(Surroundings):
    """The content of run.json."""

    status: Literal["running", "interrupted", "finished"] = Field(description="how far the run is")
    data: RunData = Field(description="the training images")
    steps: RunSteps = Field(description="the length of the run")
    parameters: Count = Field(description="parameters and running statistics of encoder and projector")
    loss_terms: tuple[str, ...] = Field(description="names of the loss's terms in metrics.jsonl")
    encoder_sha256: str | None = Field(None, description="of the weights of encoder.keras; null: not finished")
    init: RunInit | None = Field(None, description="weights that it has started from; null: random ones")
    parent: RunParent | None = Field(None, description="run that it has gone on from; null: it has started anew")
    wall_seconds: Amount | None = Field(None, description="wall time of all processes of the run, s")
    peak_memory_bytes: Count | None = Field(None, description="largest resident memory of the last process, bytes")
    failures: tuple[str, ...] = Field((), description="errors that ended processes of the run, oldest first")
    result: RunResult | None = Field(None, description="figures of a finished run")
