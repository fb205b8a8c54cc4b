"""Curves over the epochs, all runs in one chart for each quantity, drawn in the page by Plotly."""

import html
import json
import math
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from barlowtf.printable import printable
from barlowtf.report.contents import RunContents
from barlowtf.report.numbers import format_number

# Maximum number of points of a curve, about: more cannot be told apart at its width.
_MOST_POINTS = 320
# Curves of this many points or fewer show each point.
_MARKED_POINTS = 12
# A quantity that may be logarithmic is, where its values span this factor.
_LOG_SPAN = 5.0
_DASHES = ("solid", "dash", "dot", "dashdot")


@dataclass(frozen=True)
class Quantity:
    """Something that is measured while training: its key in metrics.jsonl, how to show it, what is good."""

    key: str
    title: str
    unit: str
    may_be_log: bool = False
    from_zero: bool = False
    factor: float = 1.0
    good: str = ""


_LOSS = Quantity(
    "loss_per_dimension", "Loss", "per dimension", may_be_log=True, good="Good: falls, fast at first, and stays low."
)
# Of the losses' terms, by name.
_GOOD_TERMS = {
    "invariance": "Good: falls. Both views of an image come to the same embedding.",
    "redundancy": "It may rise while the loss falls, as the views of an image come to agree. That is no fault.",
}
_OTHERS = (
    Quantity(
        "effective_rank",
        "Effective rank",
        "dimensions",
        from_zero=True,
        good="Good: does not fall far below its highest value. Near 1 the embeddings have collapsed.",
    ),
    Quantity(
        "knn_top1", "kNN top-1", "%", factor=100.0, good="Good: above its first point, the encoder before training."
    ),
    Quantity(
        "probe_top1",
        "Linear probe top-1",
        "%",
        factor=100.0,
        good="Good: above its first point, the encoder before training.",
    ),
    Quantity(
        "rankme",
        "RankMe of the features",
        "dimensions",
        from_zero=True,
        good="In how many directions the features spread. It may rise or fall while the encoder improves, and settles.",
    ),
    Quantity(
        "lidar",
        "LiDAR of the features",
        "directions",
        from_zero=True,
        good="In how many directions images differ by more than their views. It may rise or fall while the encoder "
        "improves, and settles.",
    ),
    Quantity(
        "alpha",
        "Alpha-ReQ of the features",
        "exponent",
        good="How fast the variances of the features fall from one direction to the next. A large value means that few "
        "directions hold most of it; it does not tell which of two runs is better.",
    ),
    Quantity(
        "mean_off_diagonal",
        "Mean |C_ij|, i ≠ j",
        "in [0, 1]",
        may_be_log=True,
        good="Good: well below 1. It may rise with the redundancy term, as the views of an image come to agree.",
    ),
    Quantity("learning_rate", "Learning rate", "of the next update", from_zero=True),
    Quantity(
        "images_per_second",
        "Speed",
        "images/s",
        from_zero=True,
        good="Good: level. Drops mean that the input or another program keeps the step waiting.",
    ),
)


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        key: Key of its quantity in metrics.jsonl.
        title: What it shows.
        unit: Unit of the vertical axis.
        good: What good looks like, or what the quantity says, one or two sentences; "": nothing to say.
        last: (run name, last value) of each run, for readers that see no drawing.
        figure: Plotly's figure: {"data": [...], "layout": {...}}. Colors are added by the page's script.
    """

    key: str
    title: str
    unit: str
    good: str
    last: list[tuple[str, str]]
    figure: dict[str, Any]


def make_charts(runs: list[RunContents]) -> list[Chart]:
    """Returns a chart for each quantity that at least one run has measured."""
    charts = []
    for quantity in quantities(runs):
        series = [_points(run, quantity) for run in runs]
        if any(series):
            charts.append(_chart(quantity, series, [run.name for run in runs]))
    return charts


def quantities(runs: list[RunContents]) -> list[Quantity]:
    """Returns what there may be to show: the loss, the terms that the runs' losses name, and the monitors."""
    terms = dict.fromkeys(term for run in runs if run.info is not None for term in run.info.loss_terms)
    of_terms = [
        Quantity(
            f"{term}_per_dimension",
            f"{term.replace('_', ' ').capitalize()} term",
            "per dimension",
            may_be_log=True,
            good=_GOOD_TERMS.get(term, ""),
        )
        for term in terms
    ]
    return [_LOSS, *of_terms, *_OTHERS]


def steps_per_epoch(run: RunContents) -> float:
    """Returns the steps of an epoch, from run.json or else from the records; 1 where neither knows."""
    if run.info is not None:
        return float(run.info.steps.per_epoch)
    known = (record for record in run.metrics if record["step"] > 0 and record.get("epoch", 0) > 0)
    return next((record["step"] / record["epoch"] for record in known), 1.0)


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
    """Returns about `most` of the points or fewer: the lowest and the highest of each stretch, so no spike is lost."""
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
    logarithmic = quantity.may_be_log and min(values) > 0 and max(values) >= _LOG_SPAN * min(values)
    unit = quantity.unit + (", log" if logarithmic else "")
    figure = go.Figure(
        data=[_line(number, names[number], points) for number, points in enumerate(series) if points],
        layout=go.Layout(
            height=260,
            margin={"l": 56, "r": 12, "t": 8, "b": 42},
            showlegend=False,
            hovermode="x unified",
            xaxis={"title": {"text": "epoch"}, "rangemode": "tozero"},
            yaxis={
                "type": "log" if logarithmic else "linear",
                "rangemode": "tozero" if quantity.from_zero else "normal",
                # A tick at each power of ten, and over few of them at 2 and 5 times these, too, each as a whole number.
                **(
                    {"dtick": 1 if max(values) > 100 * min(values) else "D2", "tickformat": "~g"} if logarithmic else {}
                ),
                "exponentformat": "e",
            },
        ),
    )
    last = [(name, format_number(points[-1][1])) for name, points in zip(names, series, strict=True) if points]
    # Without the template, which repeats Plotly's defaults in 7 kB a chart.
    content = json.loads(figure.update_layout(template="none").to_json())
    content["layout"].pop("template", None)
    return Chart(quantity.key, quantity.title, unit, quantity.good, last, content)


def _line(number: int, name: str, points: list[tuple[float, float]]) -> go.Scatter:
    return go.Scatter(
        x=[epoch for epoch, _ in points],
        y=[value for _, value in points],
        # Plotly reads markup in texts.
        name=html.escape(printable(name), quote=False),
        # The page's script finds the run's color by its number.
        meta={"run": number},
        mode="lines+markers" if len(points) <= _MARKED_POINTS else "lines",
        line={"width": 2, "dash": _DASHES[number % len(_DASHES)]},
        marker={"size": 5},
    )
