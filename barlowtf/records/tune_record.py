"""results.json of a search for settings: its trials and the best of them."""

from typing import Literal

from pydantic import Field

from barlowtf.records.files import Record
from barlowtf.records.ranges import Count
from barlowtf.records.surroundings import Surroundings


class TuneTrial(Record):
    """One run of the search."""

    number: Count = Field(description="its folder is trials/NUMBER")
    state: Literal["finished", "pruned", "failed", "running"] = Field(
        description="pruned: stopped early, because others were better by then"
    )
    settings: dict[str, str] = Field(description="section.key -> value, as TOML")
    score: float | None = Field(description="last measured score, the larger the better; null: none")
    epoch: Count = Field(description="epochs trained until then")
    reason: str | None = Field(None, description="why it failed")


class TuneRecord(Surroundings):
    """The content of results.json."""

    base: str = Field(description="name or file of the base recipe")
    data: str = Field(description="SPEC of the images")
    measure: str = Field(description="what the score is made of: knn, probe, rankme, lidar or alpha")
    epochs: Count = Field(description="of a run that is not stopped early")
    searched: dict[str, str] = Field(description="section.key -> what is tried, in words")
    trials: tuple[TuneTrial, ...] = Field(description="by number")
    best: Count | None = Field(description="number of the best finished trial; null: none has finished")
    recipe: str | None = Field(description="path of its recipe; null: none has finished")
