"""Curves over the epochs, all runs in one chart for each quantity."""

import math
from dataclasses import dataclass
from typing import Any

from barlowtf.report.contents import RunContents
from barlowtf.report.scales import Scale, make_scale, say

WIDTH, HEIGHT = 400, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 14, 12, 40
# A curve has at most about so many points: more cannot be told apart at its width.
_MOST_POINTS = 320
_MARKED_POINTS = 12


@dataclass(frozen=True)
class Quantity:
    """Something that is measured while training: its key in metrics.jsonl, and how it is shown."""

    key: str
    title: str
    unit: str
    may_be_log: bool = False
    from_zero: bool = False
    factor: float = 1.0


QUANTITIES = (
    Quantity("loss_per_dimension", "Loss", "per dimension", may_be_log=True),
    Quantity("effective_rank", "Effective rank", "dimensions", from_zero=True),
    Quantity("knn_top1", "kNN top-1", "%", factor=100.0),
    Quantity("mean_off_diagonal", "Mean |C_ij|, i ≠ j", "in [0, 1]", may_be_log=True),
    Quantity("learning_rate", "Learning rate", "of the next update", from_zero=True),
    Quantity("images_per_second", "Speed", "images/s", from_zero=True),
)


@dataclass(frozen=True)
class Line:
    """One run's curve.

    Attributes:
        run: Number of the run on the page.
        name: Its name.
        points: (epoch, value), by epoch.
        path: The curve as SVG path data.
        marks: Places of points that are few enough to be marked.
        last: The last value, for a reader.
    """

    run: int
    name: str
    points: list[tuple[float, float]]
    path: str
    marks: list[tuple[float, float]]
    last: str


@dataclass(frozen=True)
class Chart:
    """A chart, ready to be drawn: ticks are (place, text)."""

    key: str
    title: str
    unit: str
    x: Scale
    y: Scale
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    lines: list[Line]

    def as_data(self) -> dict[str, Any]:
        """Returns what the page's script needs to read values off the chart."""
        scales = {
            name: [scale.low, scale.high, scale.start, scale.end, int(scale.logarithmic)]
            for name, scale in (("x", self.x), ("y", self.y))
        }
        lines = [{"run": line.run, "name": line.name, "points": line.points} for line in self.lines]
        return {**scales, "lines": lines}


def make_charts(runs: list[RunContents]) -> list[Chart]:
    """Returns a chart for each quantity that at least one run has measured."""
    charts = []
    loss, *others = QUANTITIES
    for quantity in (loss, *_loss_terms(runs), *others):
        series = [_points(run, quantity) for run in runs]
        if any(series):
            charts.append(_chart(quantity, series, [run.name for run in runs]))
    return charts


def _loss_terms(runs: list[RunContents]) -> list[Quantity]:
    """Returns a quantity for each term of the runs' losses."""
    names = dict.fromkeys(name for run in runs for name in run.info.get("loss_terms", ()))
    return [
        Quantity(
            f"{name}_per_dimension", f"{name.replace('_', ' ').capitalize()} term", "per dimension", may_be_log=True
        )
        for name in names
    ]


def steps_per_epoch(run: RunContents) -> float:
    """Returns the steps of an epoch, by run.json or else by the records; 1 where neither knows."""
    known = run.info.get("steps", {}).get("per_epoch")
    if known:
        return float(known)
    return next((record["step"] / record["epoch"] for record in run.metrics if record.get("epoch")), 1.0)


def _points(run: RunContents, quantity: Quantity) -> list[tuple[float, float]]:
    """Returns (epoch, value) of a quantity where it is finite."""
    per_epoch = steps_per_epoch(run)
    points = [
        (round(record["step"] / per_epoch, 4), float(f"{quantity.factor * record[quantity.key]:.5g}"))
        for record in run.metrics
        if quantity.key in record and math.isfinite(record[quantity.key])
    ]
    return thin(points, _MOST_POINTS)


def thin(points: list[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """Returns at most about `most` of the points: of each stretch its lowest and its highest, so no spike is lost."""
    if len(points) <= most:
        return points
    stretch = 2 * len(points) / most
    bounds = [round(number * stretch) for number in range(most // 2)] + [len(points)]
    kept = {0, len(points) - 1}
    for start, end in zip(bounds, bounds[1:], strict=False):
        kept.add(min(range(start, end), key=lambda index: points[index][1]))
        kept.add(max(range(start, end), key=lambda index: points[index][1]))
    return [points[index] for index in sorted(kept)]


def _chart(quantity: Quantity, series: list[list[tuple[float, float]]], names: list[str]) -> Chart:
    values = [value for points in series for _, value in points]
    last_epoch = max(epoch for points in series for epoch, _ in points)
    x = Scale(0.0, last_epoch or 1.0, _LEFT, WIDTH - _RIGHT)
    y = make_scale(values, HEIGHT - _BOTTOM, _TOP, may_be_log=quantity.may_be_log, from_zero=quantity.from_zero)
    return Chart(
        key=quantity.key,
        title=quantity.title,
        unit=quantity.unit + (", log" if y.logarithmic else ""),
        x=x,
        y=y,
        x_ticks=[(round(x.place(tick), 1), say(tick)) for tick in x.ticks()],
        y_ticks=[(round(y.place(tick), 1), say(tick)) for tick in y.ticks()],
        lines=[_line(number, names[number], points, x, y) for number, points in enumerate(series) if points],
    )


def _line(number: int, name: str, points: list[tuple[float, float]], x: Scale, y: Scale) -> Line:
    places = [(round(x.place(epoch), 1), round(y.place(value), 1)) for epoch, value in points]
    return Line(
        run=number,
        name=name,
        points=points,
        path="M" + "L".join(f"{left:g} {top:g}" for left, top in places),
        marks=places if len(places) <= _MARKED_POINTS else [],
        last=say(points[-1][1]),
    )
