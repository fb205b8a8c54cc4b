"""Results of evaluation protocols: grouped by what may be compared, averaged over seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from barlowtf.places import short_spec
from barlowtf.records import EncoderFacts, Measure, Result
from barlowtf.records.grouping import (
    Scores,
    encoder_key,
    format_scores,
    format_value,
    group_results,
    is_control,
    objection,
    summarize,
)
from barlowtf.report.contents import RunContents
from barlowtf.report.pictures import Picture, sheet_picture
from barlowtf.tables import PROTOCOLS

# Of more classes a reader sees the best and the worst.
_MOST_CLASSES = 40
# A confusion matrix of more classes is a picture without numbers.
MOST_CELLS = 20


@dataclass(frozen=True)
class Row:
    """One encoder's scores: that of a run, a control, or another one that was measured beside it.

    Attributes:
        run: Number of the run.
        name: What the page calls the encoder.
        label: "trained", or that of a control, "random" or "pixels".
        seeds: Seeds of the results.
        scores: Name of a measure -> its scores.
        texts: Name of a measure -> its scores as the page prints them.
    """

    run: int
    name: str
    label: str
    seeds: list[int]
    scores: dict[str, Scores]
    texts: dict[str, str]


@dataclass(frozen=True)
class ClassBars:
    """Scores by class of one run: a name and, for each label, a score in [0, 1] or None."""

    run: int
    run_name: str
    labels: list[str]
    bars: list[tuple[str, list[float | None]]]
    left_out: int


@dataclass(frozen=True)
class Confusion:
    """One result's confusion matrix, integer [C, C], rows = true class, and the shares of each row."""

    run_name: str
    seed: int
    names: list[str]
    counts: np.ndarray
    shares: np.ndarray


@dataclass(frozen=True)
class Sheet:
    """What one result found in some test images."""

    run_name: str
    label: str
    seed: int
    picture: Picture


@dataclass(frozen=True)
class ResultGroup:
    """Results of one protocol with the same variant, settings, labels and data."""

    protocol: str
    variant: str
    changed: tuple[str, ...]
    labels: int
    data: str
    measures: list[Measure]
    published: dict[str, float]
    published_texts: dict[str, str]
    not_comparable: str | None
    rows: list[Row]
    class_bars: list[ClassBars]
    class_title: str
    confusions: list[Confusion]
    sheets: list[Sheet]


def describe_results(runs: Sequence[RunContents]) -> list[ResultGroup]:
    """Returns the results of all runs, grouped, in the order of the table of protocols."""
    groups = group_results([run.results for run in runs], PROTOCOLS)
    return [_group(members, runs) for members in groups]


def _group(members: list[list[Result]], runs: Sequence[RunContents]) -> ResultGroup:
    results = [result for mine in members for result in mine]
    measures = list({measure.name: measure for result in results for measure in result.shown_measures}.values())
    measures = [measure for measure in measures if any(measure.name in result.scores for result in results)]
    rows, bars, confusions, sheets = [], [], [], []
    for run, mine in enumerate(members):
        name = runs[run].name
        encoders = _by_encoder(mine, name)
        rows += [_row(run, encoder, each, measures) for encoder, each in encoders.items()]
        # Of several trained encoders in one folder the bars and the matrix are of the run's own, the first.
        shown: dict[str, list[Result]] = {}
        for each in encoders.values():
            shown.setdefault(each[0].encoder.label, each)
        bars += _class_bars(run, name, shown)
        confusions += _confusion(name, shown.get("trained", []))
        sheets += [sheet for label, results in shown.items() for sheet in _sheet(runs[run], label, results)]
    first = results[0]
    published = first.published or {}
    return ResultGroup(
        protocol=first.protocol,
        variant=first.variant,
        changed=first.changed_settings,
        labels=first.labels,
        data=", tested on ".join(short_spec(spec) for spec in (first.data.source, first.data.test_source) if spec),
        measures=measures,
        published=published,
        published_texts={
            measure.name: format_value(published.get(measure.name), percent=measure.percent) for measure in measures
        },
        not_comparable=objection(results),
        rows=rows,
        class_bars=bars,
        class_title=first.per_class_title,
        confusions=confusions,
        sheets=sheets,
    )


def _by_encoder(results: list[Result], run: str) -> dict[str, list[Result]]:
    """Returns the results of each encoder under what the page calls it: the run's own, others, controls."""
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for result in results:
        groups.setdefault(encoder_key(result), []).append(result)

    def rank(key: tuple[str, str, str]) -> tuple[bool, str, bool, str]:
        encoder = groups[key][0].encoder
        return is_control(groups[key][0]), key[0], not _is_of(encoder, run), encoder.name

    named: dict[str, list[Result]] = {}
    for key in sorted(groups, key=rank):
        group, (label, digits, _) = groups[key], key
        own = is_control(group[0]) or _is_of(group[0].encoder, run)
        name = f"{run}, {label}" if own else group[0].encoder.name
        named[name if name not in named else f"{name} ({digits[:8]})"] = group
    return named


def _is_of(encoder: EncoderFacts, run: str) -> bool:
    """Returns whether an encoder is that of a run: the folder, or the file in it."""
    name = encoder.name.rstrip("/")
    return Path(run).name in Path(name).parts[-2:] or name == run


def _row(run: int, name: str, mine: list[Result], measures: list[Measure]) -> Row:
    scores, texts = {}, {}
    for measure in measures:
        found = summarize([result.scores[measure.name] for result in mine if measure.name in result.scores])
        texts[measure.name] = format_scores(found, percent=measure.percent)
        if found is not None:
            scores[measure.name] = found
    return Row(run, name, mine[0].encoder.label, sorted(result.seed for result in mine), scores, texts)


def _class_bars(run: int, name: str, shown: dict[str, list[Result]]) -> list[ClassBars]:
    """Returns the scores by class, means over seeds; [] where no result has them."""
    columns = {label: _class_means(results) for label, results in shown.items()}
    columns = {label: means for label, means in columns.items() if means}
    if not columns:
        return []
    count = max(map(len, columns.values()))
    names = _class_names(next(iter(shown.values()))[0], count)
    filled = [means if len(means) == count else [None] * count for means in columns.values()]
    bars = [(name, [means[index] for means in filled]) for index, name in enumerate(names)]
    if count > _MOST_CLASSES:
        ranked = sorted(bars, key=lambda bar: -1.0 if bar[1][0] is None else bar[1][0], reverse=True)
        bars = ranked[: _MOST_CLASSES // 2] + ranked[-_MOST_CLASSES // 2 :]
    return [ClassBars(run, name, list(columns), bars, count - len(bars))]


def _class_means(results: list[Result]) -> list[float | None]:
    means: list[float | None] = []
    for values in zip(*(result.per_class for result in results if result.per_class), strict=False):
        known = [value for value in values if value is not None]
        means.append(math.fsum(known) / len(known) if known else None)
    return means


def _confusion(name: str, results: list[Result]) -> list[Confusion]:
    """Returns the confusion matrix of an encoder's first seed that has one."""
    found = [result for result in results if result.confusion_matrix]
    if not found:
        return []
    result = min(found, key=lambda result: result.seed)
    counts = np.asarray(result.confusion_matrix, np.int64)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    return [Confusion(name, result.seed, _class_names(result, len(counts)), counts, shares)]


def _sheet(run: RunContents, label: str, results: list[Result]) -> list[Sheet]:
    """Returns the picture of an encoder's first seed that has one; [], and a note why, where it cannot be read."""
    found = min((result for result in results if result.sheet), key=lambda result: result.seed, default=None)
    if found is None or found.sheet is None:
        return []
    folder = run.folder.path / "results"
    try:
        return [Sheet(run.name, label, found.seed, sheet_picture(folder / found.sheet, folder))]
    # A file from elsewhere may hold anything, and Pillow raises what it likes over it.
    except Exception as error:
        run.notes.append(f"The picture of {found.protocol}, {found.sheet}, cannot be shown: {error}.")
        return []


def _class_names(result: Result, count: int) -> list[str]:
    names = result.data.class_names or ()
    return list(names) if len(names) == count else [str(number) for number in range(count)]
