"""The results of a grid as a Markdown table: one row per cell, one column per protocol, the paper's figures beside."""

from barlowtf.printable import markdown_cell
from barlowtf.records import AblationPlan, AblationRecord, AblationRow
from barlowtf.records.grouping import FEWEST_FOR_INTERVAL, MISSING, format_scores


def ablation_table(record: AblationRecord) -> str:
    """Returns the table: mean and 95 % interval from three seeds on, below that the values.

    Args:
        record: What came of a grid.
    """
    plan = record.plan
    published = any(cell.published is not None for cell in plan.cells)
    header = ["cell", *plan.protocols, *([f"published{' [1]' if plan.other_scale else ''}"] if published else [])]
    rows = [header, ["---"] * len(header)]
    for cell, row in zip(plan.cells, record.rows, strict=True):
        texts = [markdown_cell(cell.name), *(format_scores(row.scores(name)) for name in plan.protocols)]
        if published:
            texts.append(MISSING if cell.published is None else f"{cell.published:.1f}")
        rows.append(texts)
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return "\n\n".join([table, *explain_ablation(record)])


def explain_ablation(record: AblationRecord) -> list[str]:
    """Returns what a reader of the table must know: seeds, scale, what is missing; Markdown, a paragraph each."""
    plan = record.plan
    seeds = ", ".join(map(str, plan.seeds))
    if len(plan.seeds) >= FEWEST_FOR_INTERVAL:
        text = f"Percent of the test images: mean ± 95 % interval over seeds {seeds} (Student's t)."
    else:
        text = (
            f"Percent of the test images, one value for each of the seeds {seeds}."
            if len(plan.seeds) > 1
            else (f"Percent of the test images, seed {seeds}. One run tells nothing of the differences between runs.")
        )
    epochs = sorted({cell.epochs for cell in plan.cells})
    length = f"{epochs[0]:,}" if len(epochs) == 1 else f"{epochs[0]:,} to {epochs[-1]:,}, equal in time"
    text += f" Encoder {plan.encoder}, {plan.images:,} images, epochs: {length}."
    paragraphs = [markdown_cell(text)]
    if plan.other_scale and any(cell.published is not None for cell in plan.cells):
        paragraphs.append(
            markdown_cell(
                f"(1) Other scale: {plan.measure} ({plan.source}). Compare the order, not the values."
            ).replace("(1)", "[1]", 1)
        )
    if plan.note:
        paragraphs.append(markdown_cell(plan.note))
    counts = record.counts
    if counts["missing"]:
        paragraphs.append(f"{counts['missing']} of {sum(counts.values())} runs are missing.")
    paragraphs += [
        markdown_cell(f"Failed: {row.cell}, seed {run.seed}: {run.reason}")
        for row in record.rows
        for run in row.runs
        if run.status == "failed"
    ]
    return paragraphs


def conclusion(record: AblationRecord) -> str:
    """Returns one sentence: the best cell and how far the worst is below it, by the last protocol."""
    plan: AblationPlan = record.plan
    name = plan.protocols[-1]
    means = [(scores.mean, row) for row in record.rows if (scores := row.scores(name)) is not None]
    if len(means) < 2:
        return "Too few cells have run to compare them."
    best, worst = max(means, key=_mean), min(means, key=_mean)
    waits = "" if len(means) == len(record.rows) else f"Of {len(means)} of {len(record.rows)} cells so far: "
    text = f"{waits}{'b' if waits else 'B'}y {name}, {best[1].cell} is first with {100 * best[0]:.1f} %"
    text += f" and {worst[1].cell} last with {100 * worst[0]:.1f} %."
    equal = [row.cell for mean, row in means if row is not best[1] and _overlap(best[1], row, name)]
    if len(plan.seeds) < FEWEST_FOR_INTERVAL:
        return f"{text} Fewer than {FEWEST_FOR_INTERVAL} seeds: differences of a few points may be chance."
    if equal:
        text += f" Within the intervals of the first: {', '.join(equal)}."
    return text


def _mean(item: tuple[float, AblationRow]) -> float:
    return item[0]


def _overlap(first: AblationRow, second: AblationRow, name: str) -> bool:
    """Returns whether the intervals of two cells overlap."""
    a, b = first.scores(name), second.scores(name)
    if a is None or b is None:
        return False
    return abs(a.mean - b.mean) <= (a.half_width or 0.0) + (b.half_width or 0.0)
