"""Findings as lines of text."""

from collections.abc import Iterable, Iterator

from barlowtf.records import Finding

_WIDTH = 13


def explain_findings(findings: Iterable[Finding]) -> Iterator[str]:
    """Yields the lines of findings in their order; "nothing" where there is none."""
    lines = 0
    for finding in findings:
        yield f"{finding.severity:<{_WIDTH}}{finding.what} {finding.change}"
        for evidence in finding.evidence:
            yield f"{'':<{_WIDTH}}{evidence}"
        lines += 1
    if not lines:
        yield f"{'found':<{_WIDTH}}nothing"
