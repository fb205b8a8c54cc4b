"""Whether the numbers of boxes mean what they should: their order, and pixels."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from barlowtf.errors import DataError

# A box leaves its image where it reaches beyond it by so many pixels and such a part of the side: annotators are
# that careless.
_PIXELS, _SHARE = 1.0, 0.02
# From this share of the boxes on, and this number, it is the convention and not the annotator.
_MANY, _FEWEST, _FEWEST_FITTING = 0.1, 5, 2

Reading = Callable[[np.ndarray], np.ndarray]


def require_convention(
    numbers: np.ndarray,
    sizes: np.ndarray,
    *,
    where: str | Path,
    expected: str,
    reading: Reading,
    others: Mapping[str, Reading],
) -> None:
    """Checks boxes before they are cut to their images.

    Args:
        numbers: Four numbers of each box as they are read, float64 [n, 4].
        sizes: Height and width of its image, int64 [n, 2]; boxes with 0 there are not looked at.
        where: The file or folder, for messages.
        expected: What the four numbers are, for messages.
        reading: Turns them into x1, y1, x2, y2 in pixels.
        others: What they may be instead -> what turns them into x1, y1, x2, y2 then.

    Raises:
        DataError: The boxes are in another convention.
    """
    known = np.isfinite(numbers).all(axis=1) & (sizes > 0).all(axis=1)
    numbers, sizes = numbers[known], sizes[known]
    if not len(numbers):
        return
    what = f"Invalid boxes in {where}:"
    if numbers.min() >= 0 and numbers.max() <= 1 and (numbers % 1 != 0).any():
        raise DataError(
            f"{what} received numbers from {numbers.min():g} to {numbers.max():g}, which look like parts of the image, "
            f"expected {expected}. Multiply them by the width and height of their image."
        )
    boxes = reading(numbers)
    leaving, inverted = _leaves(boxes, sizes), np.any(boxes[:, 2:] <= boxes[:, :2], axis=1)
    wrong = leaving | inverted
    example = ", ".join(f"{number:g}" for number in numbers[wrong.argmax()])
    size = f"{sizes[wrong.argmax()][1]} x {sizes[wrong.argmax()][0]}"
    received = f"received {example} in an image of {size} pixels (width x height)"
    if wrong.sum() >= max(_FEWEST_FITTING, _MANY * len(boxes)):
        for name, read in others.items():
            other = read(numbers)
            if not (_leaves(other, sizes) | np.any(other[:, 2:] <= other[:, :2], axis=1)).any():
                raise DataError(
                    f"{what} {received}; {wrong.sum()} of {len(boxes)} do not fit, and all would as {name}, expected "
                    f"{expected}. Convert them."
                )
    if leaving.sum() >= max(_FEWEST, _MANY * len(boxes)):
        raise DataError(
            f"{what} {leaving.sum()} of {len(boxes)} leave their image, {received}, expected {expected}, of the images "
            "in their present size. Convert them."
        )


def _leaves(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Returns which boxes reach far beyond their image, bool [n]."""
    limits = sizes[:, ::-1].astype(np.float64)  # width, height
    slack = _PIXELS + _SHARE * limits
    return np.any((boxes[:, :2] < -slack) | (boxes[:, 2:] > limits + slack), axis=1)
