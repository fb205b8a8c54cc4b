"""What a check has found: of a data set by `barlowtf data check`, of a machine or a run by `barlowtf doctor`."""

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from barlowtf.records.files import Record


class Finding(Record):
    """One thing that a check has found."""

    name: str = Field(description="which check found it")
    severity: Literal["harm", "note"] = Field(description="harm: results suffer, exit status 1; note: worth knowing")
    what: str = Field(description="what was found, one sentence")
    evidence: tuple[str, ...] = Field((), description="the figures or files that show it")
    change: str = Field(description="what to do about it, one sentence")


def harms(findings: Iterable[Finding]) -> bool:
    """Returns whether one of some findings harms."""
    return any(finding.severity == "harm" for finding in findings)


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Returns findings that harm before notes, otherwise in their order."""
    return tuple(sorted(findings, key=lambda finding: finding.severity != "harm"))
