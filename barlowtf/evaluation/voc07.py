"""Protocol voc07: one linear support vector machine per class, on images that may show several classes.

Source: arXiv:2103.03230, section 4.2 and appendix A.
"""

from dataclasses import asdict
from typing import Annotated

import numpy as np
from pydantic import Field

from barlowtf.config.section import Positive, Section
from barlowtf.data import Labeled, Source
from barlowtf.errors import CheckpointError
from barlowtf.evaluation.contract import Outcome, Protocol, Task
from barlowtf.evaluation.multi_label_splits import open_multi_label_splits
from barlowtf.evaluation.published import Published
from barlowtf.evaluation.voc_svm import COSTS, ClassResult, evaluate_voc_svm
from barlowtf.records import Measure, append_line, read_lines


class SupportVectorSettings(Section):
    """Settings of the machines."""

    costs: tuple[Positive, ...] = Field(COSTS, min_length=1, description="values of C to choose from")
    folds: Annotated[int, Field(ge=2)] = Field(3, description="folds of the cross-validation that chooses C")


def measure_machines(task: Task[SupportVectorSettings]) -> Outcome:
    """Returns the outcome of one linear machine per class; resumes after the last class."""
    settings, splits = task.settings, task.splits
    train, test = (task.features(_unlabeled(split.source)) for split in (splits.train, splits.test))
    task.unfinished.mkdir(parents=True, exist_ok=True)
    file = task.unfinished / "classes.jsonl"
    try:
        done = {line.pop("class"): ClassResult(**line) for line in read_lines(file)}
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{file} does not hold the results of classes: {error}. Delete it.") from error
    result = evaluate_voc_svm(
        train,
        splits.train.targets,
        test,
        splits.test.targets,
        costs=settings.costs,
        folds=settings.folds,
        seed=task.seed,
        done=done,
        on_class=lambda index, result: append_line(file, {"class": index, **asdict(result)}),
    )
    scores = {
        "mean_average_precision": float(result.average_precision.mean()),
        "mean_average_precision_11_points": float(result.voc07_average_precision.mean()),
        "mean_average_precision_interpolated": float(result.interpolated_average_precision.mean()),
    }
    details = {"costs": result.cost.tolist(), "unconverged": result.unconverged.tolist()}
    return Outcome(scores, result.average_precision.tolist(), None, details)


def _unlabeled(source: Source) -> Labeled:
    """Returns all examples of a source without a class of their own."""
    return Labeled(source, np.arange(source.size, dtype=np.int64), np.full(source.size, -1, np.int64))


VOC07 = Protocol(
    name="voc07",
    variants={"paper": SupportVectorSettings()},
    open_data=open_multi_label_splits,
    measure=measure_machines,
    measures=(
        Measure(name="mean_average_precision", title="mAP"),
        Measure(name="mean_average_precision_interpolated", title="mAP, interpolated", headline=True),
    ),
    takes_list=False,
    published=Published({"mean_average_precision_interpolated": 0.862}, data="voc/2007"),
    per_class_title="Average precision by class",
)
