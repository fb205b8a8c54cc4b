"""What an evaluation leaves: a record of each measurement, and whether a published number stands beside it."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from barlowtf.config.protocols import PROTOCOLS
from barlowtf.metrics import classification_scores

# The published encoder, a ResNet-50: weights and running statistics.
_PUBLISHED_PARAMETERS, _PUBLISHED_SIZE = 23_561_152, 224
_PUBLISHED_TEST_IMAGES = 50_000
_PUBLISHED_RECIPES = ("repository", "paper")


@dataclass(frozen=True)
class Outcome:
    """What a protocol measured.

    Attributes:
        scores: Measure -> value in [0, 1]; "top1" or "mean_average_precision" is the headline.
        per_class: Accuracy, or average precision, of each class; None for a class without test images.
        confusion: Images by true and predicted class, [K][K]; None where classes do not exclude each other.
        details: What else there is to know: the penalty that was chosen, the best epoch.
    """

    scores: dict[str, float]
    per_class: list[float | None]
    confusion: list[list[int]] | None = None
    details: dict[str, Any] = field(default_factory=dict)


def classification_outcome(scores: np.ndarray, labels: np.ndarray, **details: Any) -> Outcome:
    """Returns the outcome of scores [Q, K] for classes that exclude each other, labels [Q]."""
    measured = classification_scores(scores, labels)
    values = {"top1": measured.top1}
    if measured.top5 is not None:
        values["top5"] = measured.top5
    per_class = [None if np.isnan(value) else float(value) for value in measured.per_class]
    return Outcome(values, per_class, measured.confusion.tolist(), details)


def not_comparable(
    protocol: str,
    *,
    source: str,
    recipe: str,
    changes: list[str],
    encoder: dict[str, Any],
    test_images: int,
    subset: dict[str, Any] | None = None,
) -> str | None:
    """Returns why the published number of a protocol does not stand beside a result; None where it does.

    Args:
        protocol: Key of `PROTOCOLS`.
        source: SPEC of the data.
        recipe: Name of the recipe.
        changes: Settings that differ from it.
        encoder: Its `image_shape` and `parameters` (None: unknown), see docs/formats.md.
        test_images: How many it was measured on.
        subset: How the labels were chosen, see docs/formats.md; None: all of the data's.
    """
    known = PROTOCOLS[protocol]
    if not known.published:
        return "no published number"
    reasons = []
    if not known.published_data:
        reasons.append("the data cannot be checked to be those of the paper")
    listed = "" if subset is None else subset.get("list_sha256", "")
    # Every name of the published list was found: the data is the published one, wherever it lies.
    same_list = bool(listed) and listed == known.published_list and test_images == _PUBLISHED_TEST_IMAGES
    if known.published_data and not same_list and source.split(":")[:2] != ["tfds", known.published_data]:
        reasons.append(f"other data than tfds:{known.published_data}")
    if subset is not None and not same_list:
        reasons.append("other labeled images than the published ones")
    if recipe not in _PUBLISHED_RECIPES:
        reasons.append("other recipe")
    if changes:
        reasons.append("settings changed")
    if encoder["parameters"] != _PUBLISHED_PARAMETERS or encoder["image_shape"][0] != _PUBLISHED_SIZE:
        reasons.append(f"other encoder than a ResNet-50 at {_PUBLISHED_SIZE} pixels")
    return ", ".join(reasons) or None


def identity(facts: dict[str, Any]) -> str:
    """Returns eight hexadecimal digits that stand for what a result is a result of."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]


def dump_result(record: dict[str, Any]) -> str:
    """Returns a record as JSON, one top-level key a line: a confusion matrix then stays readable."""
    lines = (f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in record.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"
