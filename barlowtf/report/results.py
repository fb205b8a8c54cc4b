"""Results of evaluation protocols: grouped by what may be compared, averaged over seeds."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from barlowtf.metrics import mean_and_interval
from barlowtf.report.contents import RunContents

# Of more classes a reader sees the best and the worst.
_MOST_CLASSES = 40
# A confusion matrix of more classes is a picture without numbers.
MOST_CELLS = 20
_SCORE_NAMES = {"top1": "top-1", "top5": "top-5", "mean_average_precision": "mAP"}
_OF_CLASSES = {"voc07": "Average precision by class"}


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds; `half_width` of its 95 % interval by Student's t, None for one seed or equal values."""

    mean: float
    half_width: float | None
    count: int


@dataclass(frozen=True)
class Row:
    """One encoder's scores: that of a run, its random control, or another one that was measured beside it.

    `label` is "trained" or "random", `name` what the page calls it.
    """

    run: int
    name: str
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
    class_title: str
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
    data, subset = result.get("data") or {}, result.get("subset") or {}
    same = [result.get("variant"), result.get("changed_settings"), result.get("labels"), result.get("replicas")]
    same += [subset.get("kind"), subset.get("list_sha256")]
    return json.dumps([result["protocol"], *same, data.get("fingerprints") or data.get("source")], sort_keys=True)


def _group(members: list[tuple[int, dict[str, Any]]], names: list[str]) -> ResultGroup:
    first = members[0][1]
    rows, bars, confusions = [], [], []
    for run in sorted({number for number, _ in members}):
        mine = _by_encoder([result for number, result in members if number == run], names[run])
        rows += [_row(run, name, results) for name, results in mine.items()]
        # Of several trained encoders in one folder the bars and the matrix are of the run's own, the first.
        own = next((results for results in mine.values() if _label(results[0]) == "trained"), [])
        random = next((results for results in mine.values() if _label(results[0]) == "random"), [])
        bars += _class_bars(run, names[run], own + random)
        confusions += _confusion(names[run], own)
    reasons = [result.get("not_comparable") for _, result in members if _label(result) == "trained"]
    reasons = reasons or [first.get("not_comparable")]
    scores = dict.fromkeys(name for row in rows for name in row.scores)
    return ResultGroup(
        protocol=str(first["protocol"]),
        recipe=str(first.get("variant") or ""),
        changed=[str(line) for line in first.get("changed_settings") or []],
        labels=first.get("labels"),
        data=str((first.get("data") or {}).get("source", "")),
        published={name: value for name, value in (first.get("published") or {}).items() if _is_number(value)},
        not_comparable=next(filter(None, reasons), None),
        score_names=[(name, _SCORE_NAMES.get(name, name.replace("_", " "))) for name in scores],
        rows=rows,
        class_bars=bars,
        class_title=_OF_CLASSES.get(str(first["protocol"]), "Accuracy by class"),
        confusions=confusions,
    )


def _label(result: dict[str, Any]) -> str:
    return str(result["encoder"].get("label", "trained"))


def _by_encoder(results: list[dict[str, Any]], run: str) -> dict[str, list[dict[str, Any]]]:
    """Returns the results of each encoder under what the page calls it: the run's own, others, untrained ones."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for result in results:
        encoder = result["encoder"]
        # Untrained encoders differ from seed to seed, and share their architecture.
        key = encoder.get("architecture") if _label(result) == "random" else encoder.get("sha256")
        groups.setdefault((_label(result), key), []).append(result)
    named: dict[str, list[dict[str, Any]]] = {}
    for (label, key), group in sorted(groups.items(), key=lambda item: _order(item[0][0], item[1], run)):
        encoder = group[0]["encoder"]
        own = label == "random" or _is_of(encoder, run)
        name = f"{run}, {label}" if own else str(encoder.get("name", label))
        named[name if name not in named else f"{name} ({str(key)[:8]})"] = group
    return named


def _order(label: str, results: list[dict[str, Any]], run: str) -> tuple[Any, ...]:
    encoder = results[0]["encoder"]
    return label == "random", not _is_of(encoder, run), str(encoder.get("name", ""))


def _is_of(encoder: dict[str, Any], run: str) -> bool:
    """Returns whether an encoder is that of a run: the folder, or the file in it."""
    name = str(encoder.get("name", run)).rstrip("/")
    return Path(run).name in Path(name).parts[-2:] or name == run


def _row(run: int, name: str, mine: list[dict[str, Any]]) -> Row:
    scores = {}
    for score in dict.fromkeys(score for result in mine for score in result["scores"]):
        values = [result["scores"].get(score) for result in mine]
        values = [float(value) for value in values if _is_number(value)]
        if values:
            mean, half = mean_and_interval(values)
            # Equal to the last digit: nothing is random in it, as in the tables of `barlowtf evaluate`.
            scores[score] = Estimate(mean, half if len(set(values)) > 1 else None, len(values))
    return Row(run, name, _label(mine[0]), sorted(int(result.get("seed") or 0) for result in mine), scores)


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
    """Returns the confusion matrix of an encoder's first seed that has one."""
    found = [result for result in results if result.get("confusion_matrix")]
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
