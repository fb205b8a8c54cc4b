"""What of a data set that was read whole harms a training or its measurements."""

from collections.abc import Iterable, Iterator, Sequence

from barlowtf.data import alike_names, explain_alike
from barlowtf.experiment.data_records import CheckedSplit, DataCheck, ImageGroup
from barlowtf.experiment.diagnosis import Diagnosis, Symptom

# Files or classes that a finding names.
_SHOWN = 5
_IMBALANCE = 10.0


def _unreadable(check: DataCheck) -> Iterator[Symptom]:
    for name, split in check.splits.items():
        if split.unreadable:
            files = _some(f"{where}: {reason}" for where, reason in split.unreadable.items())
            yield Symptom(f"{_images(len(split.unreadable), name)} cannot be read.", files)
    folders = check.unreadable_folders
    if folders:
        what = f"{len(folders):,} folder{_s(len(folders))} cannot be read: what lies there is not part of this check."
        yield Symptom(what, _some(f"{where}: {reason}" for where, reason in folders.items()))


def _channels(check: DataCheck) -> Iterator[Symptom]:
    for name, split in check.splits.items():
        if split.other_channels and split.facts is not None:
            images = _images(len(split.other_channels), name)
            yield Symptom(
                f"{images} cannot become images of {split.facts.channels} channels.", _some(split.other_channels)
            )


def _leaks(check: DataCheck) -> Iterator[Symptom]:
    leaks = [group for group in check.equal if group.leaks]
    if leaks:
        count = sum(group.splits.count("test") for group in leaks)
        are = "is" if count == 1 else "are"
        change = "Delete it from train, or every measurement on test is too good." if count == 1 else None
        yield Symptom(f"{_images(count, 'test')} {are} in train, too, with equal pixels.", _groups(leaks), change)


def _near_leaks(check: DataCheck) -> Iterator[Symptom]:
    leaks = [group for group in check.near or () if group.leaks]
    if leaks:
        count = sum(group.splits.count("test") for group in leaks)
        others = "nearly equals another" if count == 1 else "nearly equal others"
        what = f"{_images(count, 'test')} {others} in train (cosine from {check.similarity:g} on)."
        yield Symptom(what, _groups(leaks, "~"))


def _contradictions(check: DataCheck) -> Iterator[Symptom]:
    groups = [group for group in check.equal if group.contradicts]
    if groups:
        yield Symptom(
            f"{len(groups):,} image{_s(len(groups))} with equal pixels under different labels.",
            _some(" = ".join(map(_labeled, group.images, group.labels)) for group in groups),
        )


def _single_images(check: DataCheck) -> Iterator[Symptom]:
    few = [name for name, count in _counts(check.splits["train"]).items() if count == 1]
    if few:
        yield Symptom(f"{_classes(few)} 1 training image.", _some(few))


def _test_only(check: DataCheck) -> Iterator[Symptom]:
    if "test" in check.splits:
        train = _counts(check.splits["train"])
        test = _counts(check.splits["test"])
        lost = [name for name, count in test.items() if count and train and not train.get(name)]
        if lost:
            yield Symptom(f"{_classes(lost)} test images and no training images.", _some(lost))


def _one_tested(check: DataCheck) -> Iterator[Symptom]:
    tested, missing = _tested(check)
    if len(tested) == 1 and missing:
        (name,) = tested
        yield Symptom(f"All test images with a label are of one class, {name}: {_lack(missing)}.", _some(missing))


def _untested(check: DataCheck) -> Iterator[Symptom]:
    tested, missing = _tested(check)
    if len(tested) > 1 and missing:
        yield Symptom(f"{_lack(missing)}.", _some(missing))


def _tested(check: DataCheck) -> tuple[list[str], list[str]]:
    """Returns the classes with test images, and those with training images alone."""
    train, test = (_counts(check.splits[name]) if name in check.splits else {} for name in ("train", "test"))
    tested = [name for name, count in test.items() if count]
    return tested, [name for name, count in train.items() if count and not test.get(name)]


def _lack(names: Sequence[str]) -> str:
    return f"{_classes(names)} training images and no test images"


def _alike(check: DataCheck) -> Iterator[Symptom]:
    groups = alike_names(name for split in check.splits.values() for name in _counts(split))
    if groups:
        names = "names that differ only in case, spaces, Unicode form or how a number is written"
        count = sum(map(len, groups))
        yield Symptom(f"{count:,} classes have {names}.", _some(map(explain_alike, groups)))


def _unlabeled(check: DataCheck) -> Iterator[Symptom]:
    for name, split in check.splits.items():
        if split.unlabeled:
            yield Symptom(f"{_images(len(split.unlabeled), name)} without a label.", _some(split.unlabeled))


def _empty_classes(check: DataCheck) -> Iterator[Symptom]:
    counts = [_counts(split) for split in check.splits.values()]
    names = dict.fromkeys(name for count in counts for name in count)
    empty = [name for name in names if not any(count.get(name) for count in counts)]
    if empty:
        yield Symptom(f"{_classes(empty)} no image.", _some(empty))


def _passed_over(check: DataCheck) -> Iterator[Symptom]:
    notes = list(dict.fromkeys(note for split in check.splits.values() for note in split.notes))
    if notes:
        yield Symptom("Some of the data is passed over, or read otherwise than it may be meant.", notes)


def _flat(check: DataCheck) -> Iterator[Symptom]:
    for name, split in check.splits.items():
        if split.flat:
            yield Symptom(f"{_images(len(split.flat), name)} of one color throughout.", _some(split.flat))


def _duplicates(check: DataCheck) -> Iterator[Symptom]:
    groups = [group for group in check.equal if not group.leaks]
    if groups:
        yield Symptom(f"{_copies(groups)} equal to another image of the same split.", _groups(groups))


def _near_duplicates(check: DataCheck) -> Iterator[Symptom]:
    groups = [group for group in check.near or () if not group.leaks]
    if groups:
        what = (
            f"{_copies(groups)} nearly equal to another image of the same split (cosine from {check.similarity:g} on)."
        )
        yield Symptom(what, _groups(groups, "~"))


def _imbalance(check: DataCheck) -> Iterator[Symptom]:
    counts = {name: count for name, count in _counts(check.splits["train"]).items() if count}
    if len(counts) > 1 and max(counts.values()) >= _IMBALANCE * min(counts.values()):
        ratio = max(counts.values()) / min(counts.values())
        ordered = sorted(counts, key=lambda name: counts[name])
        shown = ordered if len(ordered) < _SHOWN else (*ordered[:2], *ordered[-2:])
        yield Symptom(
            f"The largest class has {ratio:.0f} times as many training images as the smallest.",
            [f"{name}: {counts[name]:,}" for name in shown],
        )


# Harm: the training stops, or a measurement is wrong.
DATA_DIAGNOSES: dict[str, Diagnosis[DataCheck]] = {
    "unreadable": Diagnosis(
        "harm",
        "files that cannot be read or decoded, and folders that cannot be read",
        "Replace or delete the files, but not before a run on them has finished: it resumes with as many files alone. "
        "Training skips up to data.max_unreadable of them, and stops at such a folder.",
        _unreadable,
    ),
    "channels": Diagnosis(
        "harm",
        "images whose number of channels cannot become that of the others",
        "Convert or delete them: training stops at the first one.",
        _channels,
    ),
    "leaks": Diagnosis(
        "harm",
        "images of test with the pixels of an image of train",
        "Delete them from train, or every measurement on test is too good.",
        _leaks,
    ),
    "near leaks": Diagnosis(
        "harm",
        "images of test that nearly equal an image of train",
        "Look at them, and delete true copies from train.",
        _near_leaks,
    ),
    "contradictions": Diagnosis(
        "harm", "equal images with different labels", "Keep the right one of each.", _contradictions
    ),
    "single images": Diagnosis(
        "harm",
        "classes with one training image",
        "Add images, or merge such classes: to learn a class and to test it takes two.",
        _single_images,
    ),
    "test only": Diagnosis(
        "harm",
        "classes with images in test and none in train",
        "Add training images, or delete the class from test: nothing can be right there.",
        _test_only,
    ),
    "one class tested": Diagnosis(
        "harm",
        "a test split with images of one class, where train has others",
        "Add test images of the others: a measurement on one class says nothing about telling classes apart.",
        _one_tested,
    ),
    "unlabeled": Diagnosis(
        "harm",
        "images without a label among labeled ones",
        "Label, move or delete them: measurements by labels leave them out. A few images beside class folders are left "
        "out whole; with many of them none is labeled.",
        _unlabeled,
    ),
    "not tested": Diagnosis(
        "note",
        "classes with images in train and none in test",
        "Add test images of them: measurements on test leave these classes out.",
        _untested,
    ),
    "alike names": Diagnosis(
        "note",
        "classes whose names differ only in case, spaces, Unicode form or how a number is written",
        "They count as different classes: rename them where they are one.",
        _alike,
    ),
    "empty classes": Diagnosis(
        "note",
        "classes without an image",
        "Delete such folders or names, unless their images are still to come.",
        _empty_classes,
    ),
    "passed over": Diagnosis(
        "note",
        "folders and files that are no part of the data, and folders that are read otherwise than they may be meant",
        "See that nothing of it was meant.",
        _passed_over,
    ),
    "one color": Diagnosis("note", "images whose pixels are all equal", "Delete them: they teach nothing.", _flat),
    "duplicates": Diagnosis(
        "note",
        "images with the pixels of another one of their split",
        "Delete the copies: each counts as an image of its own.",
        _duplicates,
    ),
    "near duplicates": Diagnosis(
        "note",
        "images that nearly equal another one of their split",
        "Look at them, and delete true copies.",
        _near_duplicates,
    ),
    "imbalance": Diagnosis(
        "note",
        f"a class with {_IMBALANCE:.0f} times the training images of another one",
        "Read accuracy class by class, in barlowtf report.",
        _imbalance,
    ),
}


def _counts(split: CheckedSplit) -> dict[str, int]:
    return split.images_per_class or {}


def _labeled(image: str, label: str | None) -> str:
    return f"{image} ({label})"


def _groups(groups: Sequence[ImageGroup], sign: str = "=") -> list[str]:
    return _some(
        f" {sign} ".join(group.images[:_SHOWN]) + (" ..." if len(group.images) > _SHOWN else "") for group in groups
    )


def _copies(groups: Sequence[ImageGroup]) -> str:
    count = sum(len(group.images) - 1 for group in groups)
    return f"{count:,} image{_s(count)} {'is' if count == 1 else 'are'}"


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
