"""What the metrics of a run tell: its figures, and whether its last epoch was measured."""

from pathlib import Path

import numpy as np

from barlowtf.metrics import judge_run
from barlowtf.records import RunBest, RunResult, RunVerdict, read_metrics
from barlowtf.train.best import CRITERIA, find_best


def summarize_metrics(
    path: Path, *, steps_per_epoch: int, embedding_width: int, keep_best: str | None = None
) -> RunResult:
    """Returns the figures of a run that a reader wants first, and what its curves say.

    Args:
        path: The metrics.jsonl of the run.
        steps_per_epoch: Steps of one epoch.
        embedding_width: D.
        keep_best: `checkpoint.keep_best` of the recipe.

    Raises:
        CheckpointError: The file is damaged.
    """
    records = read_metrics(path)

    def column(name: str) -> list[float]:
        return [record[name] for record in records if name in record]

    knn, losses, speeds = column("knn_top1"), column("loss"), column("images_per_second")
    tested, halved = column("knn_images"), column("knn_halved")
    before = [record["knn_top1"] for record in records if record["step"] == 0 and "knn_top1" in record]
    best = None if keep_best is None else find_best(records, CRITERIA[keep_best])
    verdict = judge_run(records, steps_per_epoch=steps_per_epoch, embedding_width=embedding_width)
    return RunResult(
        knn_top1_before=before[0] if before else None,
        knn_top1=knn[-1] if knn else None,
        knn_images=int(tested[-1]) if tested else None,
        knn_halved=bool(halved[-1]) if halved else False,
        loss=losses[-1] if losses else None,
        images_per_second_median=round(float(np.median(speeds)), 2) if speeds else None,
        best=None if best is None else RunBest(measure=str(keep_best), step=best.step, value=best.value),
        verdict=RunVerdict(**verdict._asdict()),
    )


def lacks_measurements(path: Path, step: int, steps_per_epoch: int) -> bool:
    """Returns whether a run that resumes after `step` has yet to measure the epoch that ended there.

    Args:
        path: The metrics.jsonl of the run.
        step: Number of finished steps.
        steps_per_epoch: Steps of one epoch.

    Raises:
        CheckpointError: The file is damaged.
    """
    if step == 0 or step % steps_per_epoch:
        return False
    here = [record for record in read_metrics(path) if record["step"] == step]
    return all("loss" in record for record in here)
