"""Table, plots and page of a grid of runs."""

import re
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest

from barlowtf.records import AblationPlan, AblationRecord, AblationRow, AblationRun, Machine, PlannedCell
from barlowtf.report import ablation_table, conclusion, draw_plot, render_ablation

SURROUNDINGS = {
    "command": "barlowtf ablate",
    "versions": {"barlowtf": "1", "tensorflow": "2"},
    "machine": Machine(processor="p", cores=2, system="s"),
    "devices": (),
    "replicas": 1,
    "git_commit": None,
}


def make_record(scores, *, xs=None, series=None, names=None, x_log=False, published=None, note="", failed=()):
    """A record of cells whose runs have scores, seed by seed."""
    seeds = tuple(range(max(map(len, scores))))
    names = names or [f"cell {number}" for number in range(len(scores))]
    cells = tuple(
        PlannedCell(
            name=name,
            slug=f"cell-{number}",
            series="" if series is None else series[number],
            x=None if xs is None else xs[number],
            published=None if published is None else published[number],
            settings=("loss.lambd=0.1",) * (number > 0),
            epochs=3,
            steps=30,
            step_seconds=0.1,
        )
        for number, name in enumerate(names)
    )
    plan = AblationPlan(
        table="t",
        title="Title",
        question="Question?",
        source="paper",
        measure="ImageNet",
        note=note,
        x_label="" if xs is None else "width",
        x_log=x_log,
        equal="epochs",
        base="digits",
        overrides=(),
        jobs=1,
        encoder="resnet10",
        data="digits",
        images=1437,
        labels="digits",
        held_out=None,
        other_scale=True,
        sha256="0",
        budget_seconds=None,
        seconds=1.0,
        protocols=("knn",),
        seeds=seeds,
        cells=cells,
    )
    rows = tuple(
        AblationRow(
            cell=name,
            runs=tuple(
                AblationRun(seed=seed, status="missing", scores={})
                if score is None
                else AblationRun(seed=seed, status="finished", scores={"knn": score})
                for seed, score in enumerate(values)
            ),
        )
        for name, values in zip(names, scores, strict=True)
    )
    return AblationRecord(**SURROUNDINGS, plan=plan, rows=rows)


def test_table_has_values_below_three_seeds_and_intervals_from_three_on():
    two = ablation_table(make_record([[0.5, 0.6], [0.7, None]], published=[71.4, None]))
    assert "| cell 0 | 50.0, 60.0 | 71.4 |" in two
    assert "| cell 1 | 70.0 | – |" in two
    assert "1 of 4 runs are missing." in two
    assert "[1] Other scale: ImageNet (paper). Compare the order, not the values." in two
    three = ablation_table(make_record([[0.5, 0.6, 0.7]]))
    # Student's t of three values: 4.303 / sqrt(3) deviations.
    assert "| cell 0 | 60.0 ± 24.8 |" in three
    assert "published" not in three


def test_table_is_safe_to_paste():
    text = ablation_table(make_record([[0.5]], names=["a | <b>"], note="x | y"))
    assert "| a \\| &lt;b&gt; | 50.0 |" in text


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([[0.5], [None]], "Too few cells"),
        ([[0.5], [0.7]], "cell 1 is first with 70.0 % and cell 0 last with 50.0 %. Fewer than 3 seeds"),
        ([[0.5, 0.6, 0.7], [0.55, 0.65, 0.7], [0.1, 0.1, 0.11]], "Within the intervals of the first: cell 0."),
    ],
)
def test_conclusion(scores, expected):
    assert expected in conclusion(make_record(scores))


def marks(svg):
    """Centers of the large dots."""
    root = ElementTree.fromstring(svg)
    return [
        (float(each.get("cx")), float(each.get("cy")))
        for each in root.iter("{http://www.w3.org/2000/svg}circle")
        if each.get("r") == "4.5" and each.get("stroke") == "none"
    ]


def test_rows_are_in_order_and_to_scale():
    found = marks(draw_plot(make_record([[0.2], [0.4], [0.8]]), "knn"))
    assert [y for _, y in found] == sorted(y for _, y in found)
    first, second, third = (x for x, _ in found)
    assert (third - second) == pytest.approx(2 * (second - first), abs=0.3)


@pytest.mark.parametrize("x_log", [False, True])
def test_lines_are_to_scale(x_log):
    svg = draw_plot(
        make_record([[0.2], [0.4], [0.3]], xs=[1.0, 10.0, 100.0], series=["a", "a", "a"], x_log=x_log), "knn"
    )
    (x0, y0), (x1, y1), (x2, y2) = marks(svg)
    assert (x2 - x0) / (x1 - x0) == pytest.approx(2 if x_log else 11, abs=0.1)
    assert (y0 - y2) == pytest.approx((y0 - y1) / 2, abs=0.3)
    assert "width" in svg


def test_plot_of_nothing_and_of_equal_values():
    assert draw_plot(make_record([[None]]), "knn") == ""
    for record in (
        make_record([[0.5], [0.5]]),
        make_record([[0.0]], xs=[0.0], x_log=True),
        make_record([[1.0], [0.0]]),
    ):
        assert "nan" not in draw_plot(record, "knn").lower()
        assert marks(draw_plot(record, "knn"))


def test_two_series_have_a_legend():
    svg = draw_plot(make_record([[0.2], [0.3]], xs=[1.0, 1.0], series=["Barlow <Twins>", "SimCLR"]), "knn")
    assert "Barlow &lt;Twins&gt;</text>" in svg
    ElementTree.fromstring(svg)


def test_page():
    record = make_record([[0.5, 0.6], [0.7, None]], names=["<script>", "b"], published=[71.4, None], note="Note <x>.")
    curves = {"<script>": {0: [{"step": 0, "knn_top1": 0.1}, {"step": 30, "knn_top1": 0.5}], 1: []}, "b": {}}
    page = render_ablation(record, curves, created=datetime(2026, 1, 2, tzinfo=UTC), version="1")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "Note &lt;x&gt;." in page
    assert "loss.lambd=0.1" in page
    assert len(re.findall("<figure>", page)) == 2
    assert "last 50.0" in page
    assert 'http-equiv="Content-Security-Policy"' in page
