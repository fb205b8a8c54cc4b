"""Results of evaluation protocols: grouped by what may be compared, averaged over seeds."""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from barlowtf.metrics import mean_and_interval
from barlowtf.report.contents import RunContents

# Of more classes a reader sees the best and the worst.
_MOST_CLASSES = 40
# A confusion matrix of more classes is a picture without numbers.
MOST_CELLS = 20
_SCORE_NAMES = {"top1": "top-1", "top5": "top-5", "mean_average_precision": "mAP"}


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds; `half_width` of its 95 % interval by Student's t, None for one seed."""

    mean: float
    half_width: float | None
    count: int


@dataclass(frozen=True)
class Row:
    """One encoder's scores: of a trained run, or its random control."""

    run: int
    run_name: str
    label: str
    seeds: list[int]
    scores: dict[str, Estimate]


@dataclass(frozen=True)
class ClassBars:
    """Accuracy by class of one run: (class name, trained or None, random or None), all in [0, 1]."""

    run: int
    run_name: str
    bars: list[tuple[str, float | None, float | None]]
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
class ResultGroup:
    """Results of one protocol with the same recipe, settings, labels and data."""

    protocol: str
    recipe: str
    changed: list[str]
    labels: int | None
    data: str
    published: dict[str, float]
    not_comparable: str | None
    score_names: list[tuple[str, str]]
    rows: list[Row]
    class_bars: list[ClassBars]
    confusions: list[Confusion]


def group_results(runs: list[RunContents]) -> list[ResultGroup]:
    """Returns the results of all runs, grouped, in the order of protocol names."""
    groups: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for number, run in enumerate(runs):
        for result in run.results:
            groups.setdefault(_key(result), []).append((number, result))
    names = [run.name for run in runs]
    return [_group(groups[key], names) for key in sorted(groups)]


def _key(result: dict[str, Any]) -> str:
    """What results must share to stand in one table; the protocol comes first."""
    data = result.get("data") or {}
    same = [result.get("recipe"), result.get("changed_settings"), result.get("labels")]
    return json.dumps([result["protocol"], *same, data.get("fingerprints") or data.get("source")], sort_keys=True)


def _group(members: list[tuple[int, dict[str, Any]]], names: list[str]) -> ResultGroup:
    first = members[0][1]
    rows, bars, confusions = [], [], []
    for run in sorted({number for number, _ in members}):
        mine = [result for number, result in members if number == run]
        labels = sorted({_label(result) for result in mine}, reverse=True)  # trained, then random
        rows += [_row(run, names[run], label, mine) for label in labels]
        bars += _class_bars(run, names[run], mine)
        confusions += _confusion(names[run], mine)
    scores = dict.fromkeys(name for row in rows for name in row.scores)
    return ResultGroup(
        protocol=str(first["protocol"]),
        recipe=str(first.get("recipe") or ""),
        changed=[str(line) for line in first.get("changed_settings") or []],
        labels=first.get("labels"),
        data=str((first.get("data") or {}).get("source", "")),
        published={name: value for name, value in (first.get("published") or {}).items() if _is_number(value)},
        not_comparable=first.get("not_comparable"),
        score_names=[(name, _SCORE_NAMES.get(name, name.replace("_", " "))) for name in scores],
        rows=rows,
        class_bars=bars,
        confusions=confusions,
    )


def _label(result: dict[str, Any]) -> str:
    return str(result["encoder"].get("label", "trained"))


def _row(run: int, name: str, label: str, results: list[dict[str, Any]]) -> Row:
    mine = [result for result in results if _label(result) == label]
    scores = {}
    for score in dict.fromkeys(score for result in mine for score in result["scores"]):
        values = [result["scores"].get(score) for result in mine]
        values = [float(value) for value in values if _is_number(value)]
        if values:
            scores[score] = Estimate(*mean_and_interval(values), len(values))
    return Row(run, name, label, sorted(int(result.get("seed") or 0) for result in mine), scores)


def _class_bars(run: int, name: str, results: list[dict[str, Any]]) -> list[ClassBars]:
    """Returns the accuracies by class, means over seeds; [] where no result has them."""
    columns = {}
    for label in ("trained", "random"):
        columns[label] = _class_means([r["per_class"] for r in results if _label(r) == label and r.get("per_class")])
    count = max(len(column) for column in columns.values())
    if not count:
        return []
    trained, random = (column or [None] * count for column in columns.values())
    names = _class_names(results[0], count)
    bars = list(zip(names, trained, random, strict=True))
    if count > _MOST_CLASSES:
        ranked = sorted(bars, key=lambda bar: -1.0 if bar[1] is None else bar[1], reverse=True)
        bars = ranked[: _MOST_CLASSES // 2] + ranked[-_MOST_CLASSES // 2 :]
    return [ClassBars(run, name, bars, count - len(bars))]


def _class_means(lists: list[list[float | None]]) -> list[float | None]:
    means: list[float | None] = []
    for values in zip(*lists, strict=False):
        known = [value for value in values if _is_number(value)]
        means.append(math.fsum(known) / len(known) if known else None)
    return means


def _confusion(name: str, results: list[dict[str, Any]]) -> list[Confusion]:
    """Returns the confusion matrix of the trained encoder's first seed that has one."""
    found = [result for result in results if result.get("confusion_matrix") and _label(result) == "trained"]
    if not found:
        return []
    result = min(found, key=lambda result: int(result.get("seed") or 0))
    counts = np.asarray(result["confusion_matrix"], np.int64)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    return [Confusion(name, int(result.get("seed") or 0), _class_names(result, len(counts)), counts, shares)]


def _class_names(result: dict[str, Any], count: int) -> list[str]:
    names = (result.get("data") or {}).get("class_names") or []
    return [str(name) for name in names] if len(names) == count else [str(number) for number in range(count)]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
