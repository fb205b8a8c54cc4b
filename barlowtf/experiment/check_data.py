"""`barlowtf data check`: every image of both splits read once, and what of it harms a training or its measurements."""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from barlowtf import data
from barlowtf.data.folder import BESIDE_CLASSES
from barlowtf.data.layout import noting_unreadable_folders
from barlowtf.encoders.loading import load
from barlowtf.errors import ConfigError, DataError
from barlowtf.experiment.data import open_split, recipe_settings
from barlowtf.experiment.data_findings import DATA_DIAGNOSES
from barlowtf.experiment.data_records import CheckedSplit, DataCheck, ImageGroup
from barlowtf.experiment.diagnosis import explain_findings, explain_row, find_in
from barlowtf.experiment.embed import readable_features
from barlowtf.train.error_console import error_console

_LOG = logging.getLogger("barlowtf")
# The encoder whose features are thumbnails.
PIXELS = "pixels"
# Least cosine of near duplicates (benchmarks/results/data_check.json). Thumbnails: unrelated images of CIFAR-10
# reach 0.91, of digits, which are smaller than their thumbnails, 0.99. Whitened features: few directions tell less.
_PIXELS_SIMILARITY, _SMALL_SIMILARITY = 0.98, 0.995
_FEATURES_SIMILARITY, _FEW_DIRECTIONS, _FEW_SIMILARITY = 0.8, 128, 0.97


@dataclass(frozen=True)
class CheckRequest:
    """Which images to check, and how near duplicates are found.

    Attributes:
        source: SPEC of the data; both splits are checked where there are two.
        encoder: Whose features tell near duplicates: "pixels", thumbnails of 16 x 16 pixels, or an encoder, see
            `barlowtf.encoders.load`. None: they are not looked for.
        similarity: Least cosine of near duplicates, in (0, 1]; None: 0.98 of thumbnails, 0.995 where the
            images are smaller than these; 0.8 of whitened features, 0.97 where these have less than 128 directions.
        console: Where a progress bar is drawn; None: standard error.
        trust: See `barlowtf.encoders.load`.
    """

    source: str
    encoder: str | None = None
    similarity: float | None = None
    console: Console | None = None
    trust: bool = False


@dataclass(frozen=True)
class _Split:
    name: str
    source: data.Source
    census: data.Census


def check_data(request: CheckRequest) -> DataCheck:
    """Returns what is in a data set and what of it harms; reads every image once, with an encoder twice.

    Raises:
        DataError: It cannot be opened.
        CheckpointError: The encoder cannot be opened.
        ConfigError: The similarity is out of range.
    """
    started = time.monotonic()
    if request.similarity is not None and not 0.0 < request.similarity <= 1.0:
        raise ConfigError(f"Invalid similarity: received {request.similarity:g}, expected a cosine in (0, 1].")
    with noting_unreadable_folders() as folders:
        sources = _open(request.source, folders)
    splits = _read(request, sources)
    equal = data.equal_groups([digest for split in splits for digest in split.census.digests])
    # Images of one color are named as such; that they are equal says nothing more.
    flat = np.concatenate([np.isin(split.census.ids, split.census.flat) for split in splits])
    equal = [group for group in equal if not flat[group.members[0]]]
    near, threshold, skipped = _near(request, splits, equal)
    described = {split.name: _describe(split) for split in splits}
    facts = next((split.facts for split in described.values() if split.facts is not None), None)
    whole = DataCheck(
        source=request.source,
        unreadable_folders=folders,
        splits=described,
        equal=tuple(_group(group, splits) for group in equal),
        near=None if near is None else tuple(_group(group, splits) for group in near),
        compared_by=request.encoder,
        similarity=threshold,
        not_compared=skipped,
        settings=() if facts is None else tuple(recipe_settings(facts)),
        seconds=round(time.monotonic() - started, 1),
        findings=(),
    )
    return whole.model_copy(update={"findings": find_in(whole, DATA_DIAGNOSES)})


def _open(spec: str, unreadable: dict[str, str]) -> dict[str, data.Source]:
    """Returns the splits, without what lies in folders that cannot be read."""
    try:
        sources = {"train": open_split(spec, "train"), "test": data.open_source(spec, "test")}
    except DataError as error:
        for folder, reason in unreadable.items():
            raise DataError(f"Cannot read folder {folder}: {reason}. Give yourself the right to read it.") from error
        raise
    return {name: source for name, source in sources.items() if source is not None}


def _read(request: CheckRequest, known: dict[str, data.Source]) -> list[_Split]:
    """Returns the splits, all of their images read."""
    console = request.console or error_console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Off a terminal nothing moves, so nothing is drawn.
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks = {name: bar.add_task(name, total=source.size) for name, source in known.items()}
        return [
            _Split(name, source, data.take_census(source, partial(bar.advance, tasks[name])))
            for name, source in known.items()
        ]


def _near(
    request: CheckRequest, splits: list[_Split], equal: list[data.Group]
) -> tuple[list[data.Group] | None, float | None, int]:
    """Returns the groups of near duplicates (None: not looked for), their threshold, and how many were left out."""
    if request.encoder is None:
        return None, None, 0
    repeated = {member for group in equal for member in group.members[1:]}
    flat = np.concatenate([np.isin(split.census.ids, split.census.flat) for split in splits])
    chosen = ~flat & ~np.isin(np.arange(len(flat)), list(repeated))
    if request.encoder == PIXELS:
        small = max(_largest_side(split) for split in splits) < data.THUMBNAIL_SIDE
        threshold = request.similarity or (_SMALL_SIMILARITY if small else _PIXELS_SIMILARITY)
        thumbnails = np.concatenate([split.census.thumbnails for split in splits])
        vectors, has_contrast = data.thumbnail_vectors(thumbnails)
        skipped = int((chosen & ~has_contrast).sum())
        chosen &= has_contrast
        vectors = vectors[chosen]
    else:
        features, fits = _features(request.encoder, splits, chosen, request.trust)
        chosen &= fits
        vectors, skipped = data.whitened(features), 0
        few = vectors.shape[1] < _FEW_DIRECTIONS
        threshold = request.similarity or (_FEW_SIMILARITY if few else _FEATURES_SIMILARITY)
    numbers = np.flatnonzero(chosen)
    _LOG.info("Comparing %s images with each other.", f"{len(numbers):,}")
    groups = data.near_groups(vectors, threshold)
    found = [data.Group(tuple(int(numbers[place]) for place in group.members), group.similarity) for group in groups]
    return found, threshold, skipped


def _features(spec: str, splits: list[_Split], chosen: np.ndarray, trust: bool) -> tuple[np.ndarray, np.ndarray]:
    """Returns an encoder's features of the chosen images that have its channels, and which of all have them."""
    encoder = load(spec, trust=trust)
    channels = np.concatenate([split.census.channels for split in splits])
    fits = _fits(channels, encoder.image_shape[2])
    parts, start = [np.zeros((0, encoder.width), np.float32)], 0
    skipped = data.SkippedImages(sum(len(split.census.ids) for split in splits))
    for split in splits:
        end = start + len(split.census.ids)
        ids = split.census.ids[(chosen & fits)[start:end]]
        if len(ids):
            features, kept = readable_features(encoder, split.source, ids, skipped)
            parts.append(features)
            # What was changed since it was read first is not compared.
            fits[start:end] &= ~np.isin(split.census.ids, np.setdiff1d(ids, kept))
        start = end
    return np.concatenate(parts), fits


def _fits(channels: np.ndarray, wanted: int) -> np.ndarray:
    """Returns which images can be read with so many channels: gray and color become each other, nothing else does."""
    return np.isin(channels, (1, 3)) if wanted in (1, 3) else channels == wanted


def _largest_side(split: _Split) -> int:
    """Returns the largest short side of the images of a split, 0 where none can be read."""
    return max((min(shape[:2]) for shape in split.census.tally.shapes), default=0)


def _describe(split: _Split) -> CheckedSplit:
    source, census = split.source, split.census
    problems = {source.identify(number): reason for number, reason in census.problems.items()}
    facts = data.facts_of(source, census.tally, problems) if len(census.ids) else None
    others = census.ids[~_fits(census.channels, facts.channels)] if facts else ()
    labels = source.labels
    nameless = () if labels is None else _where(source, np.flatnonzero(labels < 0))
    return CheckedSplit(
        images=source.size,
        unreadable=problems,
        flat=_where(source, census.flat),
        other_channels=_where(source, others),
        unlabeled=(*source.unlabeled, *nameless),
        # Images beside class folders are among those without a label.
        notes=tuple(note for note in source.notes if not note.startswith(BESIDE_CLASSES)),
        images_per_class=None if labels is None else _count_classes(source, labels),
        facts=facts,
    )


def _where(source: data.Source, numbers: Iterable[int]) -> tuple[str, ...]:
    return tuple(source.identify(int(number)) for number in numbers)


def _count_classes(source: data.Source, labels: np.ndarray) -> dict[str, int]:
    """Returns the number of images of each class, also of those without one."""
    (numbered,), names = data.without_gaps([labels], source.class_names)
    counts = np.bincount(numbered[numbered >= 0], minlength=len(names or ()))
    return {str(label) if names is None else names[label]: int(count) for label, count in enumerate(counts)}


def _class_name(source: data.Source, label: int) -> str:
    names = source.class_names
    return str(label) if names is None or label >= len(names) else names[label] or str(label)


def _group(group: data.Group, splits: list[_Split]) -> ImageGroup:
    """Returns a group by the places of its images; a member counts the readable images of all splits."""
    found = [_find(splits, member) for member in group.members]
    return ImageGroup(
        images=tuple(split.source.identify(number) for split, number in found),
        splits=tuple(split.name for split, _ in found),
        labels=tuple(_label(split.source, number) for split, number in found),
        similarity=round(group.similarity, 4),
    )


def _find(splits: list[_Split], member: int) -> tuple[_Split, int]:
    for split in splits:
        if member < len(split.census.ids):
            return split, int(split.census.ids[member])
        member -= len(split.census.ids)
    raise IndexError(f"There are fewer than {member} images.")


def _label(source: data.Source, number: int) -> str | None:
    labels = source.labels
    return None if labels is None or labels[number] < 0 else _class_name(source, int(labels[number]))


def explain_check(check: DataCheck) -> str:
    """Returns a check as lines of text: what is there, then what was found, worst first."""
    rows = [("data", check.source)]
    for name, split in check.splits.items():
        rows.append((name, _explain_split(split)))
        facts = split.facts
        if facts is not None:
            sizes = " x ".join(
                f"{low:,}" if low == high else f"{low:,}-{high:,}" for low, _, high in (facts.widths, facts.heights)
            )
            channels = ", ".join(map(str, facts.stored_channels))
            rows.append(("", f"{', '.join(facts.kinds)}, {sizes} pixels, {channels} channels, {facts.bits} bits"))
    rows.append(("near copies", _explain_near(check)))
    rows.append(("settings", " ".join(f"--set {setting}" for setting in check.settings)))
    rows.append(("time", f"{check.seconds:g} s"))
    return "\n".join([*(explain_row(*row) for row in rows), *explain_findings(check.findings)])


def _explain_split(split: CheckedSplit) -> str:
    counts = split.images_per_class
    images = f"{split.images:,} image{'' if split.images == 1 else 's'}"
    if not counts:
        return f"{images}, no labels"
    return f"{images}, {len(counts):,} classes of {min(counts.values()):,} to {max(counts.values()):,}"


def _explain_near(check: DataCheck) -> str:
    if check.near is None:
        return "not looked for: add --encoder pixels, or an encoder"
    skipped = f"; {check.not_compared:,} images of little contrast left out" if check.not_compared else ""
    return f"compared by {check.compared_by}, cosine from {check.similarity:g} on{skipped}"
