"""Whether pre-training was worth it, in one sentence: the trained encoder against the best control."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from barlowtf.records.grouping import comparison_key, encoder_key, format_value, is_control, name_columns
from barlowtf.records.intervals import chance_of_shares, mean_and_interval
from barlowtf.records.result import Result


class Comparison(NamedTuple):
    """A protocol's headline for an encoder and for the best control.

    Attributes:
        protocol: Its name.
        measure: Title of the headline.
        trained: Mean over seeds of the encoder, a share in [0, 1].
        control: That of the best control.
        control_name: "random" or "pixels".
        untrained: That of the random control where it is lower by more than chance; None: it is not lower.
        chance: Differences below this may be chance.
        test_images: Number of test images.
    """

    protocol: str
    measure: str
    trained: float
    control: float
    control_name: str
    untrained: float | None
    chance: float
    test_images: int

    @property
    def gain(self) -> float:
        """Points of the encoder above the control; 0 where the difference may be chance."""
        difference = self.trained - self.control
        return difference if abs(difference) >= self.chance else 0.0

    def __str__(self) -> str:
        """Returns "knn 96.9 against 72.0 (pixels)", with the untrained encoder where it is what was surpassed."""
        trained, control = format_value(self.trained), format_value(self.control)
        untrained = ""
        if self.gain <= 0 and self.untrained is not None:
            untrained = f"{format_value(self.untrained)} (random) and "
        return f"{self.protocol} {trained} against {untrained}{control} ({self.control_name})"

    @property
    def outcome(self) -> str:
        """What pre-training did, in words that follow "Pre-training"."""
        if self.gain > 0:
            return "helped"
        if self.untrained is None:
            return "lost" if self.gain < 0 else "gained nothing"
        return f"is better than no training but {'worse' if self.gain < 0 else 'no better'} than the pixels"


def judge(results: Iterable[Result]) -> tuple[str, ...]:
    """Returns a sentence for each trained encoder that was measured beside a control.

    The better of the controls counts. A difference below two standard errors of a share of the test images may be
    chance and is no gain; that both see the same images makes the true error smaller.

    Args:
        results: Any number of them.
    """
    listed = list(results)
    names = name_columns(listed)
    keys = dict.fromkeys(encoder_key(result) for result in listed if not is_control(result))
    several, sentences = len(keys) > 1, []
    for key in keys:
        comparisons = compare(listed, key)
        if comparisons:
            sentences.append(f"{names[key]}: {_sentence(comparisons)}" if several else _sentence(comparisons))
    return tuple(sentences)


def compare(results: Sequence[Result], key: tuple[str, str, str]) -> list[Comparison]:
    """Returns the comparisons of one encoder, `encoder_key`, with the best control, one for each kind of measurement.

    Args:
        results: Those of the encoder and of controls.
        key: The encoder's.
    """
    groups: dict[tuple[object, ...], list[Result]] = {}
    for result in results:
        if result.shown_measures[0].percent:
            groups.setdefault(comparison_key(result), []).append(result)
    comparisons = []
    for members in groups.values():
        own = [result for result in members if encoder_key(result) == key]
        controls = {name: [r for r in members if r.encoder.label == name] for name in ("random", "pixels")}
        means = {name: _mean(found) for name, found in controls.items() if found}
        if not own or not means:
            continue
        best = max(means, key=lambda name: means[name])
        trained = _mean(own)
        # Each seed has test images of its own where they are held out.
        images = sum(result.data.test_images for result in (own if own[0].data.held_out else own[:1]))
        measure = own[0].shown_measures[0].title
        chance = chance_of_shares((trained, means[best]), images)
        untrained = means.get("random")
        if untrained is not None and trained - untrained <= chance_of_shares((trained, untrained), images):
            untrained = None
        comparisons.append(Comparison(own[0].protocol, measure, trained, means[best], best, untrained, chance, images))
    return comparisons


def _mean(results: Sequence[Result]) -> float:
    measure = results[0].shown_measures[0].name
    return mean_and_interval([result.scores[measure] for result in results if measure in result.scores])[0]


def _sentence(comparisons: Sequence[Comparison]) -> str:
    count = comparisons[0].test_images
    images = f"{count:,} test image{'' if count == 1 else 's'}"
    outcomes: dict[str, list[Comparison]] = {}
    for each in sorted(comparisons, key=lambda each: -each.gain):
        outcomes.setdefault(each.outcome, []).append(each)
    if len(outcomes) > 1:
        return f"Pre-training {'; '.join(f'{what}: {_list(found)}' for what, found in outcomes.items())}; {images}."
    (outcome,) = outcomes
    if any(each.gain == 0 for each in comparisons):
        here = " here" if outcome == "gained nothing" else ""
        chance = 100 * max(each.chance for each in comparisons)
        doubt = f"On {images} {f'less than {chance:.1f} points' if chance < 100 else 'any difference'} may be chance."
        return f"Pre-training {outcome}{here}: {_list(comparisons)}. {doubt}"
    advice = "" if outcome == "helped" else " Use the control."
    return f"Pre-training {outcome}: {_list(comparisons)}, percent of {images}.{advice}"


def _list(comparisons: Sequence[Comparison]) -> str:
    return ", ".join(map(str, comparisons))
