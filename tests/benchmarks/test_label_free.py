"""Where a run would have stopped by a measure without labels: features that still change are no advice to stop."""

from benchmarks.label_free import summarize


def curve(lidar):
    return [
        {"epoch": epoch, "knn_top1": 0.2 + 0.02 * epoch, "lidar": value, "rankme": 50.0, "alpha": 1.0}
        | {"effective_rank": 20.0, "dead_dimensions": 0}
        for epoch, value in enumerate(lidar)
    ]


def test_features_that_change_are_no_advice_to_stop():
    changing = curve([10.0 + 5.0 * epoch for epoch in range(12)])
    settled = curve([10.0, 40.0, 60.0, 61.0, 61.0, 61.0, 61.0, 61.0, 61.0, 61.0, 61.0, 61.0])
    stop = summarize({"base": changing, "batch 512": settled})["stop"]["lidar"]
    assert stop["base"] == {"epoch": None, "kind": "changing", "knn_gained": 0.0}
    assert stop["batch 512"]["kind"] == "flat"
    assert stop["batch 512"]["knn_gained"] < 0.0
