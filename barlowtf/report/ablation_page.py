"""The page about a grid of runs: a sentence, the table, a plot for each protocol, and the curves of every cell."""

from collections.abc import Mapping
from datetime import datetime

from markupsafe import Markup

from barlowtf.records import AblationRecord
from barlowtf.records.grouping import format_scores
from barlowtf.report.ablation_plot import draw_curves, draw_plot, small_range
from barlowtf.report.ablation_table import conclusion, explain_ablation
from barlowtf.report.page import make_environment


def render_ablation(
    record: AblationRecord,
    curves: Mapping[str, Mapping[int, list[dict[str, float]]]],
    *,
    created: datetime,
    version: str,
) -> str:
    """Returns the page, HTML that needs nothing else.

    Args:
        record: What came of the grid.
        curves: Cell -> seed -> the records of metrics.jsonl.
        created: When, for the foot of the page.
        version: Of barlowtf, for the foot of the page.
    """
    plan = record.plan
    rows = [
        (cell, [format_scores(row.scores(name)) for name in plan.protocols])
        for cell, row in zip(plan.cells, record.rows, strict=True)
    ]
    # What is drawn is escaped where it is made.
    plots = [(name, Markup(draw_plot(record, name))) for name in plan.protocols]  # noqa: S704
    return (
        make_environment()
        .get_template("ablation.html.j2")
        .render(
            record=record,
            plan=plan,
            conclusion=conclusion(record),
            rows=rows,
            has_published=any(cell.published is not None for cell in plan.cells),
            paragraphs=[Markup(text) for text in explain_ablation(record)],  # noqa: S704
            plots=[(name, plot) for name, plot in plots if plot],
            charts=draw_curves([cell.name for cell in plan.cells], curves),
            chart_range=small_range(curves),
            created=created.strftime("%Y-%m-%d %H:%M %Z").strip(),
            version=version,
        )
    )
