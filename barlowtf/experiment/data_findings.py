"""What of a data set that was read whole harms a training or its measurements: a small function each, in one table."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias

from barlowtf.experiment.data_records import CheckedSplit, DataCheck, ImageGroup
from barlowtf.records import Finding

# Files or classes that a finding names.
_SHOWN = 5
# The largest class over the smallest: from here on accuracy says little about the small ones.
_IMBALANCE = 10.0


def find_in_data(check: DataCheck) -> Iterator[Finding]:
    """Yields what the checks of `DATA_CHECKS` find."""
    for name, (severity, look) in DATA_CHECKS.items():
        for found in look(check):
            yield Finding(
                name=name, severity=severity, what=found.what, evidence=tuple(found.evidence), change=found.change
            )


class _Found(NamedTuple):
    """What was found, what shows it, and what to do."""

    what: str
    evidence: Sequence[str]
    change: str


_Finds: TypeAlias = Iterator[_Found]


def _unreadable(check: DataCheck) -> _Finds:
    for name, split in check.splits.items():
        if split.unreadable:
            yield _Found(
                f"{_images(len(split.unreadable), name)} cannot be read.",
                _some(f"{where}: {reason}" for where, reason in split.unreadable.items()),
                "Replace or delete them. Training skips up to data.max_unreadable of them.",
            )


def _channels(check: DataCheck) -> _Finds:
    for name, split in check.splits.items():
        if split.other_channels and split.facts is not None:
            yield _Found(
                f"{_images(len(split.other_channels), name)} cannot become images of {split.facts.channels} channels.",
                _some(split.other_channels),
                "Convert or delete them: training stops at the first one.",
            )


def _leaks(check: DataCheck) -> _Finds:
    leaks = [group for group in check.equal if group.leaks]
    if leaks:
        count = sum(group.splits.count("test") for group in leaks)
        yield _Found(
            f"{_images(count, 'test')} are in train, too, with equal pixels.",
            _groups(leaks),
            "Delete them from train, or every measurement on test is too good.",
        )


def _near_leaks(check: DataCheck) -> _Finds:
    leaks = [group for group in check.near or () if group.leaks]
    if leaks:
        count = sum(group.splits.count("test") for group in leaks)
        yield _Found(
            f"{_images(count, 'test')} nearly equal others in train (cosine from {check.similarity:g} on).",
            _groups(leaks, "~"),
            "Look at them, and delete true copies from train.",
        )


def _contradictions(check: DataCheck) -> _Finds:
    groups = [group for group in check.equal if group.contradicts]
    if groups:
        yield _Found(
            f"{len(groups)} image{_s(len(groups))} with equal pixels under different labels.",
            _some(" = ".join(map(_labeled, group.images, group.labels)) for group in groups),
            "Keep the right one of each.",
        )


def _single_images(check: DataCheck) -> _Finds:
    few = [name for name, count in _counts(check.splits["train"]).items() if count == 1]
    if few:
        yield _Found(
            f"{_classes(few)} 1 training image.",
            _some(few),
            "Add images, or merge such classes: a vote or a split needs two.",
        )


def _test_only(check: DataCheck) -> _Finds:
    test = check.splits.get("test")
    train = _counts(check.splits["train"])
    lost = [name for name, count in _counts(test).items() if count and not train.get(name)] if test and train else []
    if lost:
        yield _Found(
            f"{_classes(lost)} test images and no training images.",
            _some(lost),
            "Add training images, or delete the class from test: nothing can be right there.",
        )


def _unlabeled(check: DataCheck) -> _Finds:
    for name, split in check.splits.items():
        if split.unlabeled:
            yield _Found(
                f"{_images(len(split.unlabeled), name)} have no label, others have.",
                _some(split.unlabeled),
                "Label, move or delete them: with one of them in a folder or table, none counts as labeled.",
            )


def _empty_classes(check: DataCheck) -> _Finds:
    counts = [_counts(split) for split in check.splits.values()]
    names = dict.fromkeys(name for count in counts for name in count)
    empty = [name for name in names if not any(count.get(name) for count in counts)]
    if empty:
        yield _Found(
            f"{_classes(empty)} no image.",
            _some(empty),
            "Delete such folders or names, unless their images are still to come.",
        )


def _flat(check: DataCheck) -> _Finds:
    for name, split in check.splits.items():
        if split.flat:
            yield _Found(
                f"{_images(len(split.flat), name)} have one color throughout.",
                _some(split.flat),
                "Delete them: they teach nothing.",
            )


def _duplicates(check: DataCheck) -> _Finds:
    groups = [group for group in check.equal if not group.leaks]
    if groups:
        copies = sum(len(group.images) - 1 for group in groups)
        yield _Found(
            f"{copies:,} image{_s(copies)} repeat{'' if copies > 1 else 's'} another one of the same split.",
            _groups(groups),
            "Delete the copies: each counts as an image of its own.",
        )


def _near_duplicates(check: DataCheck) -> _Finds:
    groups = [group for group in check.near or () if not group.leaks]
    if groups:
        copies = sum(len(group.images) - 1 for group in groups)
        yield _Found(
            f"{copies:,} image{_s(copies)} nearly equal{'' if copies > 1 else 's'} another one of the same "
            f"split (cosine from {check.similarity:g} on).",
            _groups(groups, "~"),
            "Look at them, and delete true copies.",
        )


def _imbalance(check: DataCheck) -> _Finds:
    counts = {name: count for name, count in _counts(check.splits["train"]).items() if count}
    if len(counts) > 1 and max(counts.values()) >= _IMBALANCE * min(counts.values()):
        ordered = sorted(counts, key=lambda name: counts[name])
        yield _Found(
            f"The largest class has {max(counts.values()) / min(counts.values()):.0f} times as many training images as "
            "the smallest.",
            [f"{name}: {counts[name]:,}" for name in (*ordered[:2], *ordered[-2:])],
            "Read accuracy class by class (barlowtf report).",
        )


# Name -> severity, function. Harm: the training stops, or a measurement is wrong.
DATA_CHECKS: dict[str, tuple[Literal["harm", "note"], Callable[[DataCheck], _Finds]]] = {
    "unreadable": ("harm", _unreadable),
    "channels": ("harm", _channels),
    "leaks": ("harm", _leaks),
    "near leaks": ("harm", _near_leaks),
    "contradictions": ("harm", _contradictions),
    "single images": ("harm", _single_images),
    "test only": ("harm", _test_only),
    "unlabeled": ("harm", _unlabeled),
    "empty classes": ("note", _empty_classes),
    "one color": ("note", _flat),
    "duplicates": ("note", _duplicates),
    "near duplicates": ("note", _near_duplicates),
    "imbalance": ("note", _imbalance),
}


def _counts(split: CheckedSplit) -> dict[str, int]:
    return split.images_per_class or {}


def _labeled(image: str, label: str | None) -> str:
    return f"{image} ({label})"


def _groups(groups: Sequence[ImageGroup], sign: str = "=") -> list[str]:
    return _some(
        f" {sign} ".join(group.images[:_SHOWN]) + (" ..." if len(group.images) > _SHOWN else "") for group in groups
    )


def _some(texts: Iterable[str]) -> list[str]:
    """Returns the first of some texts, and how many more there are."""
    listed = list(texts)
    more = len(listed) - _SHOWN
    return listed[:_SHOWN] + ([f"and {more:,} more"] if more > 0 else [])


def _images(count: int, split: str) -> str:
    return f"{count:,} {split} image{_s(count)}"


def _classes(names: Sequence[str]) -> str:
    return f"{len(names):,} class{'es have' if len(names) > 1 else ' has'}"


def _s(count: int) -> str:
    return "" if count == 1 else "s"
