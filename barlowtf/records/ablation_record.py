"""ablation.json and results.json: what a grid of runs is to be, and what came of it."""

from typing import Literal

from pydantic import Field

from barlowtf.records.files import Record
from barlowtf.records.grouping import Scores, summarize
from barlowtf.records.ranges import Amount, Count, Share, Size
from barlowtf.records.surroundings import Surroundings


class PlannedCell(Record):
    """One cell of a grid: its runs share all settings but the seed."""

    name: str = Field(min_length=1, description="in tables")
    slug: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", description="its folder")
    series: str = Field(description="cells of one series are joined by a line")
    x: float | None = Field(description="place on the horizontal axis; null: none")
    published: float | None = Field(description="the paper's figure; null: there is none")
    settings: tuple[str, ...] = Field(description="what differs from the base recipe, section.key=value")
    epochs: Size = Field(description="passes of each run over the data")
    steps: Size = Field(description="optimizer steps of each run")
    step_seconds: Amount | None = Field(description="of a warm step when it was timed, s; null: it was not")


class AblationPlan(Record):
    """The content of ablation.json, written before the first run starts."""

    table: str = Field(description="name or file of the grid")
    title: str = Field(description="what is compared")
    question: str = Field(description="what the comparison is to answer")
    source: str = Field(description="paper and table or figure")
    measure: str = Field(description="what the published figures are")
    note: str = Field(description="what differs from the paper")
    x_label: str = Field(description="title of the horizontal axis; empty: a row for each cell")
    x_log: bool = Field(description="whether that axis is logarithmic")
    equal: Literal["epochs", "time"] = Field(description="what the cells have in common")
    base: str = Field(description="name or file of the base recipe")
    overrides: tuple[str, ...] = Field(description="changes to it in all cells, section.key=value")
    encoder: str = Field(description="of the base recipe")
    data: str = Field(description="SPEC of the images")
    images: Count = Field(description="number of training images")
    labels: str = Field(description="SPEC of the labeled images that measure each run")
    held_out: Share | None = Field(description="share of them that is held out; null: there is a test split")
    other_scale: bool = Field(description="whether the published figures are of other images, encoder or epochs")
    sha256: str = Field(description="of the grid, the base recipe with its changes, and the length of the runs")
    budget_seconds: Amount | None = Field(description="time that all runs may take, s; null: none was given")
    jobs: Size = Field(description="runs at a time when it was planned last")
    seconds: Amount | None = Field(description="estimated time of all runs, s; null: no step was timed")
    protocols: tuple[str, ...] = Field(min_length=1, description="what measures each run")
    seeds: tuple[Count, ...] = Field(min_length=1, description="one run of each cell for each seed")
    cells: tuple[PlannedCell, ...] = Field(min_length=1, description="the cells")


class AblationRun(Record):
    """One run of a cell."""

    seed: Count = Field(description="of weights, order and augmentations")
    status: Literal["finished", "failed", "missing"] = Field(description="how far it is")
    scores: dict[str, float] = Field(description="protocol -> its first score, a share in [0, 1] or mAP")
    loss: float | None = Field(None, description="last recorded loss")
    seconds: Amount | None = Field(None, description="wall time of the training, s")
    reason: str | None = Field(None, description="why it failed")


class AblationRow(Record):
    """What came of a cell."""

    cell: str = Field(description="its name")
    runs: tuple[AblationRun, ...] = Field(description="by seed")

    def scores(self, protocol: str) -> Scores | None:
        """Returns the scores by a protocol, over seeds; None where there is none."""
        return summarize([run.scores[protocol] for run in self.runs if protocol in run.scores])


class AblationRecord(Surroundings):
    """The content of results.json."""

    plan: AblationPlan = Field(description="the content of ablation.json")
    rows: tuple[AblationRow, ...] = Field(description="in the order of the cells")

    @property
    def counts(self) -> dict[str, int]:
        """Number of runs by status."""
        statuses = [run.status for row in self.rows for run in row.runs]
        return {status: statuses.count(status) for status in ("finished", "failed", "missing")}
