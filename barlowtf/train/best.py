"""Which epoch of a run is the best by one of its measures."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple


class Criterion(NamedTuple):
    """What makes one epoch better than another.

    Attributes:
        key: Key of the measure in metrics.jsonl.
        score: Value of the measure -> a number that is larger the better.
    """

    key: str
    score: Callable[[float], float]


class Best(NamedTuple):
    """The best measurement of a run.

    Attributes:
        step: Number of finished steps, >= 1.
        value: Of the measure.
    """

    step: int
    value: float


# checkpoint.keep_best -> what it means.
CRITERIA: Mapping[str, Criterion] = {
    "rankme": Criterion("rankme", float),
    "lidar": Criterion("lidar", float),
    # The paper's best exponent is 1, from either side.
    "alpha": Criterion("alpha", lambda value: -abs(value - 1.0)),
    "knn": Criterion("knn_top1", float),
    "probe": Criterion("probe_top1", float),
}


def find_best(records: Iterable[Mapping[str, Any]], criterion: Criterion) -> Best | None:
    """Returns the best measurement after the start, the first of equals; None where there is none.

    Args:
        records: Lines of metrics.jsonl, in order.
        criterion: One of `CRITERIA`.
    """
    found = None
    for record in records:
        value = record.get(criterion.key)
        if record["step"] > 0 and value is not None and math.isfinite(value):
            if found is None or criterion.score(value) > criterion.score(found.value):
                found = Best(int(record["step"]), float(value))
    return found
