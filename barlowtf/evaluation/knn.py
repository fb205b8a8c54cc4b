"""Protocol knn: a weighted vote of the nearest neighbors.

Source: Wu et al., arXiv:1805.01978, section 3.4.
"""

from typing import Any, cast

from pydantic import Field

from barlowtf.config.section import Count, Positive, Section
from barlowtf.evaluation.classification import TOP1, TOP5, classification_outcome
from barlowtf.evaluation.contract import Outcome, Protocol, Task
from barlowtf.evaluation.labeled_splits import open_labeled
from barlowtf.metrics import knn_votes, nearest_neighbors
from barlowtf.records import Measure


class NeighborSettings(Section):
    """Settings of the vote."""

    neighbors: tuple[Count, ...] = Field(
        (20, 200), min_length=1, description="numbers of neighbors k; the first one is the headline"
    )
    temperature: Positive = Field(0.07, description="a vote weighs exp(similarity / temperature)")


def measure_neighbors(task: Task[NeighborSettings]) -> Outcome:
    """Returns the outcome of the vote for each k; the scores without a k are those of the first one."""
    settings, train, test = task.settings, task.splits.train, task.splits.test
    bank, queries = task.features(train), task.features(test)
    kept = [min(k, len(bank)) for k in settings.neighbors]
    similarity, index = nearest_neighbors(bank, queries, neighbors=max(kept))
    headline: Outcome | None = None
    details: dict[str, Any] = {"neighbors": list(kept)}
    for k in kept:
        votes = knn_votes(
            similarity[:, :k],
            train.labels[index[:, :k]],
            temperature=settings.temperature,
            class_count=task.splits.class_count,
        )
        outcome = classification_outcome(votes, test.labels, **details)
        # Those of ImageNet are 400 MB, and the next ones as many.
        del votes
        headline = headline or outcome
        headline.scores.update(
            {f"{name}_k{k}": outcome.scores[name] for name in ("top1", "top5") if name in outcome.scores}
        )
    return cast(Outcome, headline)


KNN = Protocol(
    name="knn",
    variants={"barlowtf": NeighborSettings()},
    open_data=open_labeled,
    measure=measure_neighbors,
    measures=(TOP1, TOP5, Measure(name="top1_k200", title="top-1, k = 200")),
    depends_on_seed=False,
)
