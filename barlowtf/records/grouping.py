"""Which results belong together, and how their scores print: the same in the Markdown table and in the report."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from barlowtf.records.intervals import mean_and_interval
from barlowtf.records.result import Result

# An interval of Student's t from two values is 12.7 standard errors wide: the two values tell more.
FEWEST_FOR_INTERVAL = 3
MISSING = "–"


@dataclass(frozen=True)
class Scores:
    """One measure of one encoder, over seeds.

    Attributes:
        values: One value per seed, at least one.
        mean: Their mean.
        half_width: Half the width of the 95 % interval of the mean; None below three values, and for equal ones: to
            the last digit equal means that nothing is random in them.
    """

    values: tuple[float, ...]
    mean: float
    half_width: float | None

    @property
    def points(self) -> tuple[float, ...]:
        """What represents the values: all of them below three, otherwise the mean."""
        distinct = len(set(self.values))
        return self.values if 1 < distinct and len(self.values) < FEWEST_FOR_INTERVAL else (self.mean,)


def summarize(values: Sequence[float]) -> Scores | None:
    """Returns the scores of several seeds as one; None where there is none."""
    known = tuple(float(value) for value in values if math.isfinite(value))
    if not known:
        return None
    mean, half_width = mean_and_interval(known)
    if len(set(known)) == 1:
        return Scores(known, known[0], None)
    return Scores(known, mean, half_width if len(known) >= FEWEST_FOR_INTERVAL else None)


def format_value(value: float | None, *, percent: bool = True) -> str:
    """Returns "61.2" for a share of 0.612; a value that is not a share with four digits; "–" for None."""
    if value is None:
        return MISSING
    return f"{100 * value:.1f}" if percent else f"{value:.4g}"


def format_scores(scores: Scores | None, *, percent: bool = True) -> str:
    """Returns "61.2 ± 1.5" for three seeds or more, "60.0, 62.4" for two, "61.2" for one, "–" for None."""
    if scores is None:
        return MISSING
    text = ", ".join(format_value(point, percent=percent) for point in scores.points)
    return text if scores.half_width is None else f"{text} ± {format_value(scores.half_width, percent=percent)}"


def is_control(result: Result) -> bool:
    """Returns whether a result is of a control, the untrained encoder or the images themselves."""
    return result.encoder.label != "trained"


def encoder_key(result: Result) -> tuple[str, str, str]:
    """Returns what results of one encoder share: name and weights, for untrained encoders the architecture."""
    encoder = result.encoder
    weights = encoder.architecture if encoder.label == "random" else encoder.sha256
    return encoder.label, weights, "" if is_control(result) else encoder.name


def comparison_key(result: Result) -> tuple[Any, ...]:
    """Returns what results share that may stand in one row: protocol, settings, labels, images and replicas.

    Images are the same where their fingerprints are, however their data set was named.
    """
    subset = result.subset
    return (
        result.protocol,
        result.variant,
        # Parts that are held out in turn differ by an image.
        result.labels if result.data.held_out is None else result.data.held_out,
        result.changed_settings,
        tuple(sorted(result.data.fingerprints.items())),
        (None, None, None) if subset is None else (subset.kind, subset.list_sha256, subset.fraction),
        result.replicas,
    )


def group_results(runs: Sequence[Iterable[Result]], protocols: Iterable[str]) -> list[list[list[Result]]]:
    """Returns groups of results that may be compared; each holds a list per run, sorted by label and seed.

    Args:
        runs: The results of each run; of two of one encoder and seed the last one counts.
        protocols: Names in the order in which their groups come; other protocols follow, sorted by name.
    """
    groups: dict[tuple[Any, ...], list[dict[tuple[Any, ...], Result]]] = {}
    for number, results in enumerate(runs):
        for result in results:
            members = groups.setdefault(comparison_key(result), [{} for _ in runs])
            members[number][(*encoder_key(result), result.seed)] = result
    ranks = {name: rank for rank, name in enumerate(protocols)}

    def rank(key: tuple[Any, ...]) -> tuple[Any, ...]:
        first = next(result for members in groups[key] for result in members.values())
        return ranks.get(key[0], len(ranks)), *map(str, (*key[:2], first.data.source, *key[2:]))

    return [[_sorted(members.values()) for members in groups[key]] for key in sorted(groups, key=rank)]


def _sorted(results: Iterable[Result]) -> list[Result]:
    return sorted(results, key=lambda result: (result.encoder.label, result.seed))


def name_columns(results: Iterable[Result]) -> dict[tuple[str, str, str], str]:
    """Returns what each encoder is called: a control by its label; of equal names a hash tells them apart."""
    names = {encoder_key(r): r.encoder.label if is_control(r) else r.encoder.name for r in results}
    several = {name for name in names.values() if list(names.values()).count(name) > 1}
    return {key: f"{name} ({key[1][:8]})" if name in several else name for key, name in names.items()}


def objection(results: Sequence[Result]) -> str | None:
    """Returns why published numbers are not comparable to a group, None where they are: to all its trained encoders."""
    trained = [result.not_comparable for result in results if not is_control(result)]
    reasons = trained or [result.not_comparable for result in results]
    return next(filter(None, reasons), None)
