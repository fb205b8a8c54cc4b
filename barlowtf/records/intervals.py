"""How far a mean of few runs can be trusted."""

import statistics
from collections.abc import Sequence


def mean_and_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float | None]:
    """Returns the mean of independent runs and half the width of its confidence interval.

    Student's t: the deviation is estimated from the runs themselves, so three runs have a wide interval (4.3 standard
    errors), as they should.

    Args:
        values: One figure per run, [n], n >= 1.
        confidence: In (0, 1).

    Returns:
        Mean, and half the width; None for one run.

    Raises:
        ValueError: There is no value, or `confidence` is out of its range.
    """
    if not len(values) or not 0 < confidence < 1:
        raise ValueError(
            f"Invalid values: received {len(values)} with confidence {confidence}, expected at least one, in (0, 1)."
        )
    mean = statistics.fmean(values)
    if len(values) == 1:
        return mean, None
    # Imported here: it takes half a second, and a command's help needs the records but no interval.
    from scipy import stats

    error = statistics.stdev(values) / len(values) ** 0.5
    return mean, float(stats.t.ppf(0.5 + confidence / 2, len(values) - 1)) * error
