"""Plots of a grid as SVG: dots with intervals, joined by lines where the cells lie on an axis."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from barlowtf.records import AblationRecord
from barlowtf.records.grouping import Scores
from barlowtf.report.page import make_environment

_WIDTH, _ROW, _HEIGHT = 720, 26, 340
_LEFT, _NAMES, _RIGHT, _TOP, _BOTTOM = 56, 300, 20, 14, 48
# Lengths between ticks, times powers of ten.
_STEPS = (1.0, 2.0, 5.0, 10.0)
_TICKS = 6
# Shortest axis of scores, percent.
_NARROWEST = 4.0
_SMALL_WIDTH, _SMALL_HEIGHT = 220.0, 110.0


@dataclass(frozen=True)
class Mark:
    """The scores of a cell: where its mean lies, the ends of its interval, and its values, pixels."""

    x: float
    y: float
    low: float
    high: float
    values: tuple[float, ...]
    text: str


@dataclass(frozen=True)
class Series:
    """Marks of one color; `path` joins them, "" where they lie on no axis."""

    name: str
    color: int
    path: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class SmallChart:
    """Curves of the runs of a cell, one path for each seed."""

    name: str
    paths: tuple[str, ...]
    last: str


def draw_plot(record: AblationRecord, protocol: str) -> str:
    """Returns a plot of the scores by one protocol, SVG; "" where nothing has been measured.

    Args:
        record: What came of a grid.
        protocol: One of its protocols.
    """
    scored = [
        (cell, scores)
        for cell, row in zip(record.plan.cells, record.rows, strict=True)
        if (scores := row.scores(protocol)) is not None
    ]
    if not scored:
        return ""
    low, high = _range([100 * end for _, scores in scored for end in (*scores.values, *_interval(scores))])
    plan = record.plan
    on_axis = bool(plan.x_label) and all(cell.x is not None for cell, _ in scored)
    context: dict[str, Any] = {"label": f"{protocol}, %", "title": f"{plan.title}: {protocol}"}
    if on_axis:
        xs = [float(cell.x or 0.0) for cell, _ in scored]
        context |= _on_axes(scored, xs, low, high, log=plan.x_log and min(xs) > 0)
        context |= {"x_label": plan.x_label}
    else:
        context |= _in_rows(scored, low, high)
    return make_environment().get_template("ablation_plot.svg.j2").render(**context)


def draw_curves(names: Sequence[str], curves: Mapping[str, Mapping[int, list[dict[str, float]]]]) -> list[SmallChart]:
    """Returns a small chart of the kNN accuracy over the epochs for each cell; none where no run measured it.

    Args:
        names: Of the cells, in their order.
        curves: Cell -> seed -> the records of metrics.jsonl.
    """
    points = {
        name: [
            [(record["step"], 100 * record["knn_top1"]) for record in records if "knn_top1" in record]
            for records in curves.get(name, {}).values()
        ]
        for name in names
    }
    values = [value for lines in points.values() for line in lines for _, value in line]
    if not values:
        return []
    low, high = _range(values)
    charts = []
    for name, lines in points.items():
        last = max((step for line in lines for step, _ in line), default=1) or 1
        paths = tuple(
            _path([(_SMALL_WIDTH * step / last, _SMALL_HEIGHT * (high - value) / (high - low)) for step, value in line])
            for line in lines
        )
        ends = ", ".join(f"{line[-1][1]:.1f}" for line in lines if line and line[-1][0] > 0)
        charts.append(SmallChart(name, paths, ends or "not measured"))
    return charts


def small_range(curves: Mapping[str, Mapping[int, list[dict[str, float]]]]) -> tuple[float, float]:
    """Returns the ends of the vertical axis that `draw_curves` gives all its charts, percent."""
    values = [
        100 * record["knn_top1"]
        for seeds in curves.values()
        for records in seeds.values()
        for record in records
        if "knn_top1" in record
    ]
    return _range(values or [0.0, 100.0])


def _in_rows(scored: Sequence[tuple[Any, Scores]], low: float, high: float) -> dict[str, Any]:
    """Returns what the template needs for one row a cell."""
    width = _WIDTH - _NAMES - _RIGHT

    def place(value: float) -> float:
        return round(_NAMES + width * (value - low) / (high - low), 1)

    rows = [(cell.name, _TOP + _ROW * (number + 0.5)) for number, (cell, _) in enumerate(scored)]
    marks = tuple(
        _mark(cell.name, scores, across=place, y=y) for (cell, scores), (_, y) in zip(scored, rows, strict=True)
    )
    bottom = _TOP + _ROW * len(scored)
    return {
        "rows": rows,
        "series": [Series("", 0, "", marks)],
        "ticks": [(place(tick), _number(tick)) for tick in _ticks(low, high)],
        "x_ticks": [],
        "x_label": "",
        "box": (_NAMES, _TOP, _WIDTH - _RIGHT, bottom),
        "width": _WIDTH,
        "height": bottom + _BOTTOM,
    }


def _on_axes(
    scored: Sequence[tuple[Any, Scores]], xs: Sequence[float], low: float, high: float, *, log: bool
) -> dict[str, Any]:
    """Returns what the template needs for lines over an axis."""
    scale = math.log10 if log else float
    first, last = scale(min(xs)), scale(max(xs))
    span = (last - first) or 1.0
    width, height = _WIDTH - _LEFT - _RIGHT - 24, _HEIGHT - _TOP - _BOTTOM

    def across(x: float) -> float:
        return round(_LEFT + 12 + width * (scale(x) - first) / span, 1)

    def up(value: float) -> float:
        return round(_TOP + height * (high - value) / (high - low), 1)

    names = list(dict.fromkeys(cell.series for cell, _ in scored))
    series = []
    for number, name in enumerate(names):
        members = sorted((item for item in scored if item[0].series == name), key=lambda item: item[0].x)
        marks = tuple(_mark(cell.name, scores, across=up, x=across(cell.x)) for cell, scores in members)
        series.append(Series(name, number, _path([(mark.x, mark.y) for mark in marks]), marks))
    return {
        "rows": [],
        "series": series,
        "ticks": [(up(tick), _number(tick)) for tick in _ticks(low, high)],
        "x_ticks": [(across(x), _number(x)) for x in sorted(set(xs))],
        "box": (_LEFT, _TOP, _WIDTH - _RIGHT, _HEIGHT - _BOTTOM),
        "width": _WIDTH,
        "height": _HEIGHT,
    }


def _mark(
    name: str, scores: Scores, *, across: Callable[[float], float], x: float | None = None, y: float | None = None
) -> Mark:
    """Returns the mark of a cell: `across` places percents on the axis of the scores, `x` or `y` is the other place."""
    mean = across(100 * scores.mean)
    low, high = (across(100 * end) for end in _interval(scores))
    values = tuple(across(100 * value) for value in scores.values)
    told = f"{name}: {', '.join(f'{100 * value:.1f}' for value in scores.values)} %"
    return Mark(mean if x is None else x, mean if y is None else y, low, high, values, told)


def _interval(scores: Scores) -> tuple[float, float]:
    """Returns the ends of the interval of the mean; without one, the mean twice."""
    half = scores.half_width or 0.0
    return scores.mean - half, scores.mean + half


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Returns the ends of an axis around some values, at ticks."""
    low, high = min(values), max(values)
    if high - low < _NARROWEST:
        # A tenth of a point is not to fill the page.
        low, high = (low + high - _NARROWEST) / 2, (low + high + _NARROWEST) / 2
    step = _step(low, high)
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    return (low, high) if high > low else (low - step, high + step)


def _step(low: float, high: float) -> float:
    rough = max(high - low, 1e-3) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in _STEPS if step * power >= rough * (1 - 1e-9))


def _ticks(low: float, high: float) -> list[float]:
    step = _step(low, high)
    return [low + step * number for number in range(round((high - low) / step) + 1)]


def _number(value: float) -> str:
    return f"{round(value, 6):g}"


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) if points else ""
