"""A diagnosis: what is looked at, what it means, and what to do. Tables of them check data, machines and runs."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, TypeVar

from barlowtf.records import Finding, worst_first

Facts = TypeVar("Facts")
_WIDTH = 13


class Symptom(NamedTuple):
    """What a diagnosis has seen.

    Attributes:
        what: What it is, one sentence with figures.
        evidence: Files, classes or further figures that show it.
        change: What to do about this one; None: what the diagnosis says.
    """

    what: str
    evidence: Sequence[str] = ()
    change: str | None = None


@dataclass(frozen=True)
class Diagnosis(Generic[Facts]):
    """One entry of a table: a pure function of facts, and how its result is told.

    Attributes:
        severity: "harm" where results suffer, "note" where it is worth knowing.
        looks_at: What counts, with its threshold, for the documentation.
        change: What to do about it, one sentence.
        find: Facts -> symptoms, none where all is well.
    """

    severity: Literal["harm", "note"]
    looks_at: str
    change: str
    find: Callable[[Facts], Iterable[Symptom]]


def find_in(facts: Facts, table: Mapping[str, Diagnosis[Facts]]) -> tuple[Finding, ...]:
    """Returns what the diagnoses of a table find in some facts, worst first."""
    return worst_first(
        Finding(
            name=name,
            severity=diagnosis.severity,
            what=symptom.what,
            evidence=tuple(symptom.evidence),
            change=symptom.change or diagnosis.change,
        )
        for name, diagnosis in table.items()
        for symptom in diagnosis.find(facts)
    )


def explain_findings(findings: Iterable[Finding]) -> Iterator[str]:
    """Yields findings as lines of text, in their order; "found nothing" where there is none."""
    nothing = True
    for finding in findings:
        nothing = False
        yield f"{finding.severity:<{_WIDTH}}{finding.what} {finding.change}"
        yield from (f"{'':<{_WIDTH}}{evidence}" for evidence in finding.evidence)
    if nothing:
        yield explain_row("found", "nothing")


def explain_row(name: str, text: str) -> str:
    """Returns a line of a name and a text, as wide as those of findings."""
    return f"{name:<{_WIDTH}}{text}"
