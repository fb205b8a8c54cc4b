"""Keeps the curve of a finished run: kNN accuracy, loss, effective rank and speed by epoch, with machine and versions.

Command: python -m benchmarks.curve RUN NAME, e.g. python -m benchmarks.curve runs/cifar cifar10_cpu
"""

import sys
from typing import Any

from barlowtf.errors import CheckpointError
from barlowtf.records import read_lines
from barlowtf.runs import RunFolder
from benchmarks import machine

_STEP_KEYS = ("loss", "invariance", "redundancy", "learning_rate", "images_per_second")
_MONITOR_KEYS = ("knn_top1", "effective_rank", "dead_dimensions", "mean_off_diagonal")


def summarize(run: RunFolder) -> dict[str, Any]:
    """Returns what run.json and metrics.jsonl say of a finished run.

    Raises:
        CheckpointError: The run is not finished.
    """
    if not run.finished:
        raise CheckpointError(f"{run.path} is not a finished run. Finish it with barlowtf pretrain first.")
    info = run.read_info().model_dump(mode="json")
    per_epoch = info["steps"]["per_epoch"]
    by_epoch: dict[float, dict[str, float]] = {}
    for record in read_lines(run.metrics):
        epoch = round(record["step"] / per_epoch, 3)
        # Monitors at the ends of epochs; of the steps the last record at or before each of those.
        at = by_epoch.setdefault(epoch if "loss" not in record else float(-(-record["step"] // per_epoch)), {})
        at.update({key: record[key] for key in (*_STEP_KEYS, *_MONITOR_KEYS) if key in record})
    keys = ("command", "git_commit", "versions", "machine", "data", "steps", "parameters", "wall_seconds")
    return {
        **{key: info[key] for key in keys},
        "peak_memory_bytes": info["peak_memory_bytes"],
        "result": info["result"],
        "recipe": run.recipe.read_text(encoding="utf-8"),
        "curve": [{"epoch": epoch, **values} for epoch, values in sorted(by_epoch.items())],
    }


if __name__ == "__main__":
    machine.write_result(sys.argv[2], summarize(RunFolder(machine.ROOT / sys.argv[1])))
