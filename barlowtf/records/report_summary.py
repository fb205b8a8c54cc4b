"""What `barlowtf report` wrote."""

from pydantic import Field

from barlowtf.records.files import Record


class ReportedRun(Record):
    """One run of the page."""

    run: str = Field(description="path of the run folder")
    name: str = Field(description="name on the page")
    status: str = Field(description="not started, running, killed, interrupted or finished")
    results: int = Field(description="number of evaluation results")
    images: int = Field(description="number of images in the map")
    notes: tuple[str, ...] = Field(description="what is missing, and why")


class ReportSummary(Record):
    """The page and its runs."""

    report: str = Field(description="path of the page")
    bytes: int = Field(description="size of the page, bytes")
    runs: tuple[ReportedRun, ...] = Field(description="the runs in the order of the page")
