"""The figures of a finished run."""

from pathlib import Path

import numpy as np

from barlowtf.records import RunResult, read_lines


def summarize_metrics(path: Path) -> RunResult:
    """Returns the figures of a run that a reader wants first.

    Args:
        path: The metrics.jsonl of the run.

    Raises:
        CheckpointError: The file is damaged.
    """
    records = read_lines(path)

    def column(name: str) -> list[float]:
        return [record[name] for record in records if name in record]

    knn, losses, speeds = column("knn_top1"), column("loss"), column("images_per_second")
    random = [record["knn_top1"] for record in records if record["step"] == 0 and "knn_top1" in record]
    return RunResult(
        knn_top1_random_encoder=random[0] if random else None,
        knn_top1=knn[-1] if knn else None,
        loss=losses[-1] if losses else None,
        images_per_second_median=round(float(np.median(speeds)), 2) if speeds else None,
    )
