"""Results as a Markdown table: one row per measure, one column per encoder."""

from collections.abc import Iterable, Mapping, Sequence

from barlowtf.config.explaining import in_one_line
from barlowtf.places import short_specs
from barlowtf.printable import markdown_cell
from barlowtf.records import Measure, Result
from barlowtf.records.grouping import (
    FEWEST_FOR_INTERVAL,
    MISSING,
    encoder_key,
    format_scores,
    format_value,
    group_results,
    name_columns,
    objection,
    summarize,
)
from barlowtf.tables import PROTOCOLS


def results_table(results: Iterable[Result]) -> str:
    """Returns the Markdown table of some results: mean and 95 % interval over three seeds or more, else the values.

    Results that differ in data, variant, settings, labels or replicas have rows of their own; each encoder has a column
    of its own, the untrained encoders of one architecture have one together. Of two results of one seed the last one
    counts.

    Args:
        results: Any number of them.
    """
    groups = [members for (members,) in group_results([list(results)], PROTOCOLS)]
    columns = name_columns(result for members in groups for result in members)
    names = map(markdown_cell, columns.values())
    header = ["protocol", "data", "labels", "measure", *names, "published"]
    rows = [header, ["---"] * len(header)]
    specs = [spec for members in groups for spec in (members[0].data.source, members[0].data.test_source) if spec]
    sources = short_specs(specs)
    notes: dict[str, int] = {}
    for members in groups:
        first = members[0]
        for measure in _measures(members):
            cells = [_cell([result for result in members if encoder_key(result) == key], measure) for key in columns]
            published = _published(members, measure, notes)
            title, data, name = map(markdown_cell, (_title(first), _data(first, sources), measure.title))
            rows.append([title, data, f"{first.labels:,}", name, *cells, published])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    footnotes = [f"[{number}] {markdown_cell(text)}" for text, number in notes.items()]
    return "\n\n".join([table, _legend(groups), *footnotes])


def _measures(results: Sequence[Result]) -> list[Measure]:
    """Returns the measures of a group that have a score."""
    measures = {measure.name: measure for result in results for measure in result.shown_measures}
    return [measure for measure in measures.values() if any(measure.name in result.scores for result in results)]


def _cell(results: Sequence[Result], measure: Measure) -> str:
    values = [result.scores[measure.name] for result in results if measure.name in result.scores]
    return format_scores(summarize(values), percent=measure.percent)


def _legend(groups: Sequence[Sequence[Result]]) -> str:
    seeds = sorted({result.seed for members in groups for result in members})
    text = "Percent of the test images (AP, mAP: of the area under precision over recall)."
    if len(seeds) >= FEWEST_FOR_INTERVAL:
        text += f" Mean ± 95 % interval over seeds {', '.join(map(str, seeds))} (Student's t)."
    elif len(seeds) > 1:
        text += f" One value for each of the seeds {', '.join(map(str, seeds))}."
    changes = list(dict.fromkeys(change for members in groups for one in members for change in one.changed_settings))
    return text + (f" * Not the variant's settings: {markdown_cell(in_one_line(changes))}." if changes else "")


def _data(result: Result, sources: Mapping[str, str]) -> str:
    name, held_out, tested = sources[result.data.source], result.data.held_out, result.data.test_source
    name += "" if tested is None else f", tested on {sources[tested]}"
    return name if held_out is None else f"{name} ({100 * held_out:.0f} % held out)"


def _title(result: Result) -> str:
    title = result.protocol
    if result.protocol not in PROTOCOLS or len(PROTOCOLS[result.protocol].variants) > 1:
        title += f" ({result.variant})"
    if result.subset is not None and result.subset.kind == "list":
        title += ", list"
    if result.replicas > 1:
        title += f", {result.replicas} replicas"
    return title + (" *" if result.changed_settings else "")


def _published(results: Sequence[Result], measure: Measure, notes: dict[str, int]) -> str:
    """Returns the cell of the published number; a footnote of the headline explains why it is not comparable."""
    result = results[0]
    published, reason = (result.published or {}).get(measure.name), objection(results)
    if published is None:
        return MISSING
    text = format_value(published, percent=measure.percent)
    if reason is None:
        return text
    if not measure.headline:
        return "not comparable"
    text = f"published: {text}; {reason}"
    if result.changed_settings:
        text += f" (* {'; '.join(result.changed_settings)})"
    return f"not comparable [{notes.setdefault(text, len(notes) + 1)}]"
