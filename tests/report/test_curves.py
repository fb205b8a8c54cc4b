import json

import pytest

from barlowtf.report.curves import make_charts, thin


def test_points_lie_at_their_epochs_in_the_chart_of_all_runs(make_run):
    first = make_run("first", [{"step": 5, "knn_top1": 0.25}, {"step": 10, "knn_top1": 0.5}], per_epoch=5)
    # Without run.json the records tell how long an epoch is.
    second = make_run("second", [{"step": 4, "epoch": 2.0, "knn_top1": 1.0}])
    (chart,) = make_charts([first, second])
    assert chart.title == "kNN top-1" and chart.unit == "%"
    lines = chart.figure["data"]
    assert [(line["x"], line["y"]) for line in lines] == [([1, 2], [25, 50]), ([2], [100])]
    assert [line["meta"]["run"] for line in lines] == [0, 1]
    assert chart.last == [("first", "50"), ("second", "100")]
    assert len(json.dumps(chart.figure)) < 2000


def test_names_are_not_read_as_markup(make_run):
    run = make_run('<a href="x">\x1b[1m', [{"step": 5, "knn_top1": 0.25}], per_epoch=5)
    assert make_charts([run])[0].figure["data"][0]["name"] == r'&lt;a href="x"&gt;\x1b[1m'


@pytest.mark.parametrize("record", [{"step": 0, "epoch": 1.0}, {"step": 3, "epoch": -1.0}, {"step": 3, "epoch": 0}])
def test_an_epoch_that_cannot_be_known_is_one_step(make_run, record):
    (chart,) = make_charts([make_run("run", [record, {"step": 4, "knn_top1": 0.5}])])
    assert chart.figure["data"][0]["x"] == [4]


def test_the_terms_are_those_that_the_losses_name(make_run):
    records = [{"step": 1, "loss_per_dimension": 3.0, "variance_per_dimension": 2.0, "invariance_per_dimension": 1.0}]
    run = make_run("run", records, per_epoch=1, loss_terms=("variance", "invariance"))
    assert [chart.title for chart in make_charts([run])] == ["Loss", "Variance term", "Invariance term"]


def test_a_logarithmic_axis_where_values_span_much(make_run):
    records = [{"step": step, "loss_per_dimension": 10.0**-step} for step in range(4)]
    (chart,) = make_charts([make_run(metrics=records)])
    assert chart.figure["layout"]["yaxis"]["type"] == "log" and chart.unit == "per dimension, log"
    # Whole numbers at all ticks: else those between the powers of ten are "2" and "5".
    assert chart.figure["layout"]["yaxis"]["tickformat"] == "~g"
    (chart,) = make_charts([make_run(metrics=records[:1])])
    assert chart.figure["layout"]["yaxis"]["type"] == "linear" and "tickformat" not in chart.figure["layout"]["yaxis"]


def test_values_that_are_not_finite_are_left_out(make_run):
    records = [{"step": 1, "learning_rate": float("nan")}, {"step": 2, "learning_rate": 0.5}]
    (chart,) = make_charts([make_run(metrics=records)])
    assert chart.figure["data"][0]["x"] == [2] and chart.figure["data"][0]["y"] == [0.5]
    assert make_charts([make_run(metrics=records[:1])]) == []


@pytest.mark.parametrize("count", [10, 321, 5000])
def test_thinning_keeps_ends_and_spikes(count):
    points = [(number, 1.0 + 0.01 * (number % 3)) for number in range(count)]
    points[count // 2] = (count // 2, 9.0)
    points[count // 3] = (count // 3, -9.0)
    kept = thin(points, 320)
    assert len(kept) <= 322
    assert kept[0] == points[0] and kept[-1] == points[-1]
    assert {points[count // 2], points[count // 3]} <= set(kept)
    assert kept == sorted(kept)
