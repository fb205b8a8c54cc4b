"""A grid of two cells, the call that runs it, and what the processes of its runs leave."""

import json
from dataclasses import replace

from barlowtf.experiment import AblateRequest
from barlowtf.records import RunResult, write_record, write_result
from tests.result_records import make_result, make_run_info

GRID = """
title = "Two weights"
measure = "the paper's"
[[cells]]
name = "small"
set = { "loss.lambd" = 0.001 }
published = 70.0
[[cells]]
name = "large"
set = { "loss.lambd" = 0.1 }
"""
SCORES = {"small": 0.9, "large": 0.8}


def request(grid, tmp_path, **changes):
    return replace(AblateRequest(str(grid), "digits", tmp_path / "out", seeds=(0, 1)), **changes)


def leave_run(folder, name, seed, protocols=("knn", "linear-fast")):
    """What the processes of a run leave."""
    result = RunResult(knn_top1_before=0.1, knn_top1=0.5, loss=2.0, images_per_second_median=1.0)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "encoder.keras").touch()
    write_record(folder / "run.json", make_run_info(result=result, wall_seconds=3.0))
    (folder / "metrics.jsonl").write_text(json.dumps({"step": 5, "knn_top1": 0.5}) + "\n")
    (folder / "results").mkdir(exist_ok=True)
    for protocol in protocols:
        write_result(
            folder / "results" / f"{protocol}.json",
            make_result(protocol=protocol, subset=None, top1=SCORES.get(name, 0.7) + 0.01 * seed),
        )
