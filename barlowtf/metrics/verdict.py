"""One sentence about a run, from its curves: whether it works, and whether more epochs would help. NumPy only.

A curve is judged by its last fifth and the fifth before it: T its last step, "late" the mean of the values after 0.8 T,
"before" the mean of those after 0.6 T and up to 0.8 T. Two shares of test images differ by at least two
standard errors of the difference.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from barlowtf.records.intervals import chance_of_shares

Kind = Literal["improving", "changing", "flat", "past its best", "nothing gained", "collapsing", "unclear"]
# A curve needs this many values after the start to be judged.
_LEAST_VALUES = 4
# A change below this share of all that the curve has covered is none, nor is one below the noise of its values.
_FLAT_SHARE = 0.02
# Below its best by this share of all that the curve has covered, and by the noise.
_LOST_SHARE = 0.1
# Embeddings on a line, and a rank that has fallen to this share of its highest, are collapsing.
_LINE, _FALLEN_SHARE = 2.0, 1 / 3
# The redundancy term has risen where it ends at this multiple of its start.
_RISEN = 1.2


class Measure(NamedTuple):
    """A measure of an encoder.

    Attributes:
        key: Its key in metrics.jsonl.
        name: As a sentence names it.
        setting: Recipe key of the interval at which it is measured.
        labeled: Whether it is a share of right answers, in [0, 1], larger the better, also than before the first step.
            Of the others only that they change is judged: while kNN on digits rises from 84 to 97 %, LiDAR of the
            features falls from 56 to 29, and both settle at the same epoch.
    """

    key: str
    name: str
    setting: str
    labeled: bool


# The first one that a run has measured decides.
MEASURES = (
    Measure("knn_top1", "kNN top-1", "monitor.knn_every_epochs", True),
    Measure("lidar", "LiDAR", "monitor.collapse_every_epochs", False),
    Measure("rankme", "RankMe", "monitor.collapse_every_epochs", False),
    Measure("effective_rank", "the effective rank", "monitor.collapse_every_epochs", False),
)


class Verdict(NamedTuple):
    """What the curves of a run say.

    Attributes:
        kind: One of `Kind`.
        sentence: It, with the figures behind it and what to do.
        notes: Sentences that explain what might look like a fault and is none.
    """

    kind: Kind
    sentence: str
    notes: tuple[str, ...] = ()


def judge_run(
    records: Sequence[Mapping[str, Any]],
    *,
    steps_per_epoch: float,
    embedding_width: int,
    measures: Sequence[Measure] = MEASURES,
) -> Verdict:
    """Returns one sentence about a run, finished or not.

    Args:
        records: The lines of its metrics.jsonl, in order.
        steps_per_epoch: Steps of one pass over the data, > 0.
        embedding_width: D.
        measures: What to judge by: the first one of them that was measured after the start.
    """
    notes = tuple(filter(None, (_note_on_redundancy(records),)))
    collapse = _collapse(records, steps_per_epoch, embedding_width)
    if collapse:
        return Verdict("collapsing", f"collapsing: {collapse}.", notes)
    for measure in measures:
        curve = _curve(records, measure.key)
        if any(step > 0 for step, _ in curve):
            images = _test_images(records) if measure.labeled else None
            last_step = max(int(record["step"]) for record in records)
            return _judge_curve(measure, curve, images, steps_per_epoch, last_step)._replace(notes=notes)
    settings = " or ".join(dict.fromkeys(measure.setting for measure in measures))
    return Verdict("unclear", f"unclear: nothing was measured after the first step; set {settings}.", notes)


def _judge_curve(
    measure: Measure, curve: list[tuple[int, float]], images: int | None, steps_per_epoch: float, last_step: int
) -> Verdict:
    """Returns what one curve says, its test images counted where its values are shares of them."""
    show, after = _format(measure), [(step, value) for step, value in curve if step > 0]
    if len(after) < _LEAST_VALUES:
        return _too_few(measure, curve, last_step / steps_per_epoch)

    def chance(one: float, other: float) -> float:
        return 0.0 if images is None else chance_of_shares((one, other), images)

    def doubt(one: float, other: float) -> str:
        least_shown = _difference(measure, chance(one, other))
        return "" if images is None else f", and below {least_shown} is no difference that {images:,} images can show"

    steps, values = (np.array(column, np.float64) for column in zip(*after, strict=True))
    covered = curve if measure.labeled else after
    extent = max(value for _, value in covered) - min(value for _, value in covered)
    late = values[steps > 0.8 * steps[-1]]
    middle = values[(steps > 0.6 * steps[-1]) & (steps <= 0.8 * steps[-1])]
    middle = middle if len(middle) else values[-len(late) - 1 : -len(late)]
    # The beginning of a curve bends too much to tell its noise.
    noise = _noise(values[steps > 0.4 * steps[-1]])
    now, before = float(late.mean()), float(middle.mean())
    gain = now - before
    least = max(_FLAT_SHARE * extent, noise * np.sqrt(1 / len(late) + 1 / len(middle)))
    if not measure.labeled and abs(gain) > least:
        return Verdict(
            "changing",
            f"still changing: {measure.name} {'rose' if gain > 0 else 'fell'} by {abs(gain):.1f} over the last fifth "
            f"of the run, to {show(values[-1])}, so the features have not settled; train longer.",
        )
    if gain > max(least, chance(now, before)):
        return Verdict(
            "improving",
            f"still improving: {measure.name} gained {_difference(measure, gain)} over the last fifth of the run, to "
            f"{show(values[-1])}; train longer.",
        )
    best = int(values.argmax())
    lost = float(values[best]) - now
    lost_by_chance = max(_LOST_SHARE * extent, 2 * noise, chance(float(values[best]), now))
    if measure.labeled and steps[best] <= 0.8 * steps[-1] and lost > lost_by_chance:
        return Verdict(
            "past its best",
            f"past its best: {measure.name} was {show(values[best])} at epoch {steps[best] / steps_per_epoch:.4g} and "
            f"is {show(values[-1])} now; take a checkpoint from there (checkpoint.keep_best), or train for less long.",
        )
    first_step, start = curve[0]
    if measure.labeled and first_step == 0 and now - start <= max(least, chance(now, start)):
        return Verdict(
            "nothing gained",
            f"nothing gained: {measure.name} is {show(values[-1])}, and was {show(start)} before the first step"
            f"{doubt(now, start)}; change augmentations or learning rate rather than the number of epochs.",
        )
    if gain > least:
        return Verdict(
            "unclear",
            f"unclear: {measure.name} gained {_difference(measure, gain)} over the last fifth of the run, to "
            f"{show(values[-1])}{doubt(now, before)}; measure on more labeled images, or train longer.",
        )
    return Verdict(
        "flat",
        f"flat for the last fifth of the run: {measure.name} is {show(values[-1])}, a change of "
        f"{_difference(measure, gain)}{doubt(now, before)}; more epochs of this recipe gain little.",
    )


def _too_few(measure: Measure, curve: list[tuple[int, float]], epochs: float) -> Verdict:
    """Returns that a curve is too short to be judged, and what lengthens it."""
    after = sum(step > 0 for step, _ in curve)
    times = "once" if after == 1 else f"{after} times"
    if len(curve) > after:
        times = f"at the start and {times} after it"
    interval = max(int(epochs) // _LEAST_VALUES, 1)
    advice = []
    if after < int(epochs) // interval:
        advice.append(f"set {measure.setting} = {interval}")
    if epochs < _LEAST_VALUES:
        advice.append(f"train for {_LEAST_VALUES} epochs or more")
    return Verdict(
        "unclear",
        f"unclear: {measure.name} was measured {times}, and a curve needs {_LEAST_VALUES} values after the "
        f"start; {' and '.join(advice) or 'train longer'}.",
    )


def _collapse(records: Sequence[Mapping[str, Any]], steps_per_epoch: float, width: int) -> str:
    """Returns what shows that the embeddings collapse, "" where nothing does."""
    dead, ranks = _curve(records, "dead_dimensions"), _curve(records, "effective_rank")
    advice = "lower the learning rate or lengthen the warm-up"
    if dead and dead[-1][0] > 0 and dead[-1][1] >= width / 2:
        return f"{dead[-1][1]:,.0f} of the {width:,} dimensions of the embeddings are constant; {advice}"
    ranks = [(step, value) for step, value in ranks if step > 0]
    if not ranks or width < 2 * _LINE:
        return ""
    if ranks[-1][1] < _LINE:
        return f"the embeddings lie near one line (effective rank {ranks[-1][1]:.1f} of {width:,}); {advice}"
    step, highest = max(ranks, key=lambda point: point[1])
    if len(ranks) >= _LEAST_VALUES and ranks[-1][1] < _FALLEN_SHARE * highest and ranks[-1][1] <= ranks[-2][1]:
        return (
            f"the effective rank of the embeddings fell from {highest:.0f} at epoch {step / steps_per_epoch:.4g} to "
            f"{ranks[-1][1]:.0f}; {advice}"
        )
    return ""


def _note_on_redundancy(records: Sequence[Mapping[str, Any]]) -> str:
    """Returns why a redundancy term that rises while the loss falls is no fault, "" where it does not."""
    terms, losses = _curve(records, "redundancy_per_dimension"), _curve(records, "loss_per_dimension")
    if len(terms) < 2 or len(losses) < 2:
        return ""
    tenth = max(len(terms) // 10, 1)
    first, last = (float(np.median([value for _, value in part])) for part in (terms[:tenth], terms[-tenth:]))
    before, after = (float(np.median([value for _, value in part])) for part in (losses[:tenth], losses[-tenth:]))
    if last <= _RISEN * first or after >= before:
        return ""
    return (
        f"The redundancy term rose from {first:.3g} to {last:.3g} per dimension while the loss fell from {before:.3g} "
        f"to {after:.3g}, which is no fault. The more the two views of an image agree, the larger all entries of C "
        "become, and the loss rewards the agreement by more than it charges for that."
    )


def _curve(records: Sequence[Mapping[str, Any]], key: str) -> list[tuple[int, float]]:
    """Returns (step, value) where a quantity was measured and is finite."""
    found = ((record["step"], record.get(key)) for record in records)
    return [(int(step), float(value)) for step, value in found if value is not None and np.isfinite(value)]


def _test_images(records: Sequence[Mapping[str, Any]]) -> int | None:
    """Returns on how many images kNN was last measured; None: a run of an earlier version does not say."""
    return next((int(record["knn_images"]) for record in reversed(records) if record.get("knn_images")), None)


def _noise(values: np.ndarray) -> float:
    """Returns the deviation of a curve from a smooth one, by its second differences; 0 for fewer than 5 values."""
    if len(values) < 5:
        return 0.0
    # The second difference of independent values has 6 times their variance; 0.6745: median to deviation.
    return float(np.median(np.abs(np.diff(values, 2))) / (0.6745 * np.sqrt(6.0)))


def _format(measure: Measure) -> Callable[[float], str]:
    return (lambda value: f"{100 * value:.1f} %") if measure.labeled else (lambda value: f"{value:.1f}")


def _difference(measure: Measure, gain: float) -> str:
    return f"{100 * gain:.1f} points" if measure.labeled else f"{gain:.1f}"
