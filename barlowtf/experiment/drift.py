"""`barlowtf drift`: features of a reference and of new images -> whether they differ, how far, and which images do."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from barlowtf import data
from barlowtf.encoders.feature_folder import FeatureFolder, open_features
from barlowtf.errors import ConfigError, DataError
from barlowtf.experiment.bank import Bank, open_bank
from barlowtf.experiment.predicted_rows import UNLIKE
from barlowtf.metrics import (
    TESTS,
    Comparison,
    Judged,
    Scale,
    compare,
    kth_distances,
    least_resamples,
    novelty,
    own_distances,
)
from barlowtf.records import ComparedFeatures, DriftMeasure, DriftRecord, FarImage

# k of coverage and familiar; permutations of the kernel's test.
_NEIGHBORS, _PERMUTATIONS = 5, 999
# Half sets of a draw still give each image more other ones than it has neighbors.
_LEAST_REFERENCE, _LEAST_NEW = 50, 20
# As the novelty of `barlowtf predict`, for which at most so many images of the reference are compared.
_FAR_NEIGHBORS, _FAR_SCALE, _FAR_BANK = 10, 5000, 10_000
_FARTHEST_IMAGES = 10


@dataclass(frozen=True)
class DriftRequest:
    """What `barlowtf drift` compares.

    Attributes:
        reference: The --out folder of `barlowtf embed` with the features of the reference images.
        new: That of the new images.
        samples: Maximum number of images of either kind in a draw, >= 20; at most twice as many are sampled.
        resamples: Number of draws, see `barlowtf.metrics.least_resamples`.
        level: Probability of a drifted verdict without drift, in (0, 1), over all tests together.
        seed: Of all draws, in [0, 2**31).
    """

    reference: Path
    new: Path
    samples: int = 1000
    resamples: int = 100
    level: float = 0.05
    seed: int = 0


def drift(request: DriftRequest) -> DriftRecord:
    """Returns how far new images lie from a reference, next to how far parts of the reference lie from each other.

    Raises:
        ConfigError: The level is not in (0, 1), or so few draws cannot show drift at it.
        CheckpointError: A folder holds no features, or they belong to different encoders.
        DataError: There are too few images, or all features of the reference are equal.
    """
    started = time.perf_counter()
    if not 0 < request.level < 1:
        raise ConfigError(f"Invalid level: received {request.level}, expected between 0 and 1. Set --level.")
    least = least_resamples(request.level)
    if request.resamples < least:
        raise ConfigError(
            f"Invalid resamples: received {request.resamples}, expected at least {least}: with fewer draws none of the "
            f"{TESTS} tests can show drift at the level {request.level:g}. Raise --resamples or --level."
        )
    reference = open_features(request.reference)
    new = open_bank(request.new, reference.manifest.encoder)
    _require_rows(reference, _LEAST_REFERENCE)
    _require_rows(new.folder, _LEAST_NEW)
    known = _sample(reference, 2 * request.samples, request.seed)
    others = _sample(new.folder, 2 * request.samples, request.seed)
    try:
        found = compare(
            known,
            others,
            most=request.samples,
            resamples=request.resamples,
            level=request.level,
            neighbors=_NEIGHBORS,
            permutations=max(_PERMUTATIONS, request.resamples),
            seed=request.seed,
        )
    except ValueError as error:
        raise DataError(
            f"All features in {reference.path} are equal: nothing can be compared with them. Embed other images, or "
            "look at the encoder with barlowtf evaluate."
        ) from error
    same = _same_images(reference, new.folder)
    reasons = _reasons(found, request.level)
    farthest, unlike = _farthest(reference, new, found.scale, request.seed)
    return DriftRecord(
        verdict=_verdict(reasons, same, request.level),
        drifted=bool(reasons),
        same_images=same,
        encoder=reference.manifest.encoder,
        reference=_facts(reference, len(known), found.drawn[0]),
        new=_facts(new.folder, len(others), found.drawn[1]),
        measures=tuple(map(_record, found.measures)),
        permutation_p=round(found.permutation_p, 6),
        permutations=max(_PERMUTATIONS, request.resamples),
        level=request.level,
        tests=TESTS,
        resamples=request.resamples,
        neighbors=_NEIGHBORS,
        seed=request.seed,
        spread=_digits(found.scale.spread),
        unlike=unlike,
        farthest=farthest,
        seconds=round(time.perf_counter() - started, 2),
    )


def _require_rows(folder: FeatureFolder, least: int) -> None:
    if folder.rows < least:
        raise DataError(
            f"Too few images in {folder.path}: received {folder.rows}, expected at least {least}: halved for the "
            f"intervals, they must leave each image more others than its {_NEIGHBORS} neighbors. Embed more images."
        )


def _sample(folder: FeatureFolder, most: int, seed: int) -> np.ndarray:
    """Returns the features of at most so many images, float32 [n, d], drawn where there are more."""
    if folder.rows <= most:
        return np.asarray(folder.features[: folder.rows])
    rows = data.sample_ids(folder.rows, most, seed=seed)
    # Slices alone are what features in files have.
    return np.concatenate([np.asarray(folder.features[row : row + 1]) for row in rows.tolist()])


def _same_images(reference: FeatureFolder, new: FeatureFolder) -> bool:
    first, second = reference.manifest.data, new.manifest.data
    alike = (first.fingerprint, first.split) == (second.fingerprint, second.split)
    return alike and np.array_equal(reference.ids, new.ids)


def _facts(folder: FeatureFolder, sampled: int, drawn: int) -> ComparedFeatures:
    return ComparedFeatures(
        folder=str(folder.path), data=folder.manifest.data, rows=folder.rows, sampled=sampled, drawn=drawn
    )


def _record(judged: Judged) -> DriftMeasure:
    return DriftMeasure(
        name=judged.kind.key,
        value=_digits(judged.value),
        low=_digits(judged.low),
        high=_digits(judged.high),
        limit=_digits(judged.limit),
        usual="up to" if judged.kind.rises else "from",
        p_value=round(judged.p_value, 6),
        drifted=judged.beyond,
    )


def _digits(value: float) -> float:
    return float(f"{value:.6g}")


def _reasons(found: Comparison, level: float) -> list[str]:
    """Returns what shows drift, in words; [] for nothing."""
    reasons = [
        f"{judged.kind.name} {judged.value:.4g} is {'above' if judged.kind.rises else 'below'} {judged.limit:.4g}"
        for judged in found.measures
        if judged.beyond
    ]
    if found.permutation_p <= level / TESTS:
        reasons.append(f"permutation test of the kernel distance p = {found.permutation_p:.3g}")
    return reasons


def _verdict(reasons: list[str], same: bool, level: float) -> str:
    """Returns what was found, one sentence."""
    chance = f"{TESTS} tests, together at the level {level:g}"
    if reasons:
        return f"drifted: {', '.join(reasons)} ({chance})."
    if same:
        return "no drift shown: both folders hold the features of the same images."
    return f"no drift shown: the new images lie as near the reference as its own parts do ({chance})."


class _Scaled:
    """Features in files, in units of the reference's spread: float32, read where they are sliced."""

    def __init__(self, features: Any, scale: Scale) -> None:
        """Takes features float [M, d]."""
        self._features, self._scale = features, scale
        self.shape = features.shape

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Returns some rows."""
        return self._scale.apply(self._features[rows]).astype(np.float32)


def _farthest(reference: FeatureFolder, new: Bank, scale: Scale, seed: int) -> tuple[tuple[FarImage, ...], int]:
    """Returns the new images with the farthest 10th neighbor in the reference, and how many are unlike it, of all."""
    known = scale.apply(_sample(reference, _FAR_BANK, seed)).astype(np.float32)
    distances = kth_distances(known, _Scaled(new.folder.features, scale), neighbors=_FAR_NEIGHBORS)
    own = own_distances(known, data.sample_ids(len(known), _FAR_SCALE, seed=seed), neighbors=_FAR_NEIGHBORS)
    shares = novelty(distances, own)
    rows = np.argsort(-distances, kind="stable")[:_FARTHEST_IMAGES].tolist()
    images = tuple(
        FarImage(
            id=int(new.folder.ids[row]),
            path=new.path(row),
            label=new.folder.label_name(row),
            distance=_digits(float(distances[row])),
            novelty=_digits(float(shares[row])),
        )
        for row in rows
    )
    return images, int(np.sum(shares > UNLIKE))
