"""How far the outputs of an export are from those of its source."""

from collections.abc import Mapping
from typing import Any

import numpy as np

# Of outputs that differ by the order of sums alone, relative to the largest value.
LARGEST_RELATIVE_DIFFERENCE = 1e-3
# The precision whose outputs are those of the source but for rounding.
EXACT = "float32"


def compare_outputs(
    expected: dict[str, np.ndarray], found: dict[str, np.ndarray], labels: np.ndarray | None = None
) -> dict[str, Any]:
    """Returns what differs between two sets of outputs of the same images.

    Args:
        expected: Output -> float32 [M, ...] of the source: some of features, logits and probabilities, at least one.
        found: The same of the export.
        labels: Classes of the images, int64 [M]; None where they are unknown.

    Returns:
        images; for each output largest_difference, absolute, and largest_value of the source; with features their
        least_cosine; with logits or probabilities top1_agreement, and with labels, too, top1 of both.
    """
    figures: dict[str, Any] = {"images": len(next(iter(expected.values())))}
    figures["largest_difference"] = {
        name: float(np.abs(found[name].astype(np.float64) - value).max()) for name, value in expected.items()
    }
    figures["largest_value"] = {name: float(np.abs(value).max()) for name, value in expected.items()}
    if "features" in expected:
        figures["least_cosine"] = float(_cosines(expected["features"], found["features"]).min())
    scores = next((name for name in ("logits", "probabilities") if name in expected), None)
    if scores is not None:
        classes, found_classes = (outputs[scores].argmax(axis=1) for outputs in (expected, found))
        figures["top1_agreement"] = float(np.mean(classes == found_classes))
        if labels is not None:
            figures["top1_source"] = float(np.mean(classes == labels))
            figures["top1"] = float(np.mean(found_classes == labels))
    return figures


def find_shortfall(figures: Mapping[str, Any], precision: str, least_agreement: Mapping[str, float]) -> str | None:
    """Returns why an export is not good enough, None where it is.

    Args:
        figures: See `compare_outputs`.
        precision: Key of `least_agreement`.
        least_agreement: See `barlowtf.export.Format`.
    """
    agreement, least = figures.get("top1_agreement", 1.0), least_agreement[precision]
    if agreement < least:
        return (
            f"agrees with its source in the class of {agreement:.2%} of {figures['images']} images, "
            f"expected at least {least:.1%}"
        )
    if precision != EXACT:
        return None
    for name, difference in figures["largest_difference"].items():
        largest = figures["largest_value"][name]
        if not difference <= LARGEST_RELATIVE_DIFFERENCE * largest:
            return f"differs from its source by {difference:.2g} in {name}, whose largest value is {largest:.3g}"
    return None


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.sum(a * b, axis=1) / np.maximum(norms, np.finfo(np.float32).tiny)
