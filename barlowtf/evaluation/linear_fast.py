"""Protocol linear-fast: multinomial logistic regression on features that are extracted once."""

from typing import Annotated

from pydantic import Field

from barlowtf.config.section import Count, Positive, Section
from barlowtf.evaluation.classification import TOP1, TOP5, classification_outcome
from barlowtf.evaluation.contract import Outcome, Protocol, Task
from barlowtf.evaluation.labeled_splits import open_labeled
from barlowtf.evaluation.logistic import fit_logistic
from barlowtf.models import make_head
from barlowtf.models.saving import save_model


class LogisticSettings(Section):
    """Settings of the regression."""

    penalties: tuple[Positive, ...] = Field(
        (0.01, 0.1, 1.0, 10.0),
        min_length=1,
        description="values of scikit-learn's C to try; the best on held-out images is used",
    )
    held_out: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(0.1, description="share held out to choose C")
    max_iterations: Count = Field(200, description="maximum number of L-BFGS iterations")


def measure_logistic(task: Task[LogisticSettings]) -> Outcome:
    """Returns the outcome of the regression, and leaves head.keras in the task's folder."""
    settings, splits = task.settings, task.splits
    train, test = task.features(splits.train), task.features(splits.test)
    kernel, bias, penalty = fit_logistic(
        train,
        splits.train.labels,
        class_count=splits.class_count,
        penalties=settings.penalties,
        held_out=settings.held_out,
        max_iterations=settings.max_iterations,
        seed=task.seed,
    )
    head = make_head(train.shape[1], splits.class_count)
    head.set_weights([kernel, bias])
    task.folder.mkdir(parents=True, exist_ok=True)
    save_model(head, task.folder / "head.keras")
    return classification_outcome(test @ kernel + bias, splits.test.labels, penalty=penalty)


LINEAR_FAST = Protocol(
    name="linear-fast",
    variants={"barlowtf": LogisticSettings()},
    open_data=open_labeled,
    measure=measure_logistic,
    measures=(TOP1, TOP5),
)
