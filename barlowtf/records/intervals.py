"""How far a mean of few runs, or a share of few images, can be trusted."""

import math
import statistics
from collections.abc import Sequence

# A difference of two shares of the same test images below this many standard errors may be chance.
_STANDARD_ERRORS = 2.0


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


def chance_of_shares(shares: Sequence[float], images: int) -> float:
    """Returns below which a difference of two shares of test images may be chance: two of its standard errors.

    The errors are those of Agresti and Caffo (The American Statistician, 2000): of shares with one success and one
    failure more, which are not 0 where all images or none are right, and say of one or two images that any difference
    may be chance. That both shares are of the same images makes the true error smaller.

    Args:
        shares: The two, each in [0, 1]; scores of measures that nobody declared may be no shares, and have no error.
        images: Number of test images; 0, as a damaged record may say, counts as 1.
    """
    images = max(images, 1)
    more = images + 2
    variance = sum(_variance((share * images + 1) / more) for share in shares if 0 <= share <= 1) / more
    # The corrected difference is smaller than the one that is shown by this factor.
    return _STANDARD_ERRORS * math.sqrt(variance) * more / images


def _variance(share: float) -> float:
    return share * (1 - share)
