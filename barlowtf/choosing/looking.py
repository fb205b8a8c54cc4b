"""What a sample of the images looks like: whether they have an upright, a left and a right, and how large things are.

Letters: n images, k windows of each, S pixels on a side, K cells on a side.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from barlowtf import data
from barlowtf.data.order import sample_ids

# Horizontal and vertical contrast -> those of the mirror image.
_Mirror: TypeAlias = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]

_IMAGES = 512
_SIDE = 47
_CELLS = 3
_SMOOTHING = 6.0
_FLIPPED_SIGNS = 999
# Windows of each image, their side as a share of its short side.
_WHOLE, _PARTS = (4, 0.9), (16, 0.35)
# Measured (benchmarks/results/symmetry.json). Whole images, left and right exchanged: blood cells, photographs,
# CIFAR-10 and ImageNet 0.00 to 0.007, digits 0.05.
_BROKEN_SHARE, _UNLIKELY = 0.02, 0.01
# Parts of images, rows and columns exchanged, share and two standard deviations: blood cells below 0.007, the others
# from 0.03 on. Top and bottom say less: the lamp and the lens of a microscope have an upright, too.
_WHOLE_SHARE = 0.01
# Side of the square in which the size of things is measured, pixels.
_THINGS_SIDE = 192


@dataclass(frozen=True)
class Symmetry:
    """How far images are from their mirror images, on the average.

    Attributes:
        share: Share of the differences between an image and its mirror image that is the same in all images, about 0
            where the images as a whole do not tell the two apart.
        spread: Standard deviation of such a share by chance alone: with few images little can be said.
        chance: Probability of such a share by chance alone.
    """

    share: float
    spread: float
    chance: float

    @property
    def broken(self) -> bool:
        """Whether the images do tell an image from its mirror image."""
        return self.share >= _BROKEN_SHARE and self.chance <= _UNLIKELY

    @property
    def holds(self) -> bool:
        """Whether the images do not, and are enough to say so."""
        return self.share + 2 * self.spread <= _WHOLE_SHARE


@dataclass(frozen=True)
class Look:
    """What a sample of the images looks like.

    Attributes:
        sideways: Of left and right exchanged.
        transposed: Of rows and columns exchanged, which is a quarter turn of a mirror image.
        thing: Distance at which pixels stop resembling each other, about 0.8 times the width of the most frequent
            thing, as a share of the short side; None where it is not a small part of it.
    """

    sideways: Symmetry
    transposed: Symmetry
    thing: float | None

    @property
    def has_upright(self) -> bool:
        """Whether turned images would not be such images; also where the images are too few to say."""
        return not self.transposed.holds


def look_at(source: data.Source, seed: int = 0) -> Look:
    """Returns what a sample of the images looks like; the same each time.

    Args:
        source: The images; unreadable ones are passed over.
        seed: Of the sample and the windows, >= 0.
    """
    ids = sample_ids(source.size, _IMAGES, seed=seed)
    grays = [gray for number in ids if (gray := _read_gray(source, int(number))) is not None]
    draws = np.random.RandomState(seed)
    sideways = _symmetry(grays, _mirror_sideways, _WHOLE, draws)
    transposed = _symmetry(grays, _transpose, _PARTS, draws)
    return Look(sideways, transposed, _thing([gray for gray in grays if min(gray.shape) >= _THINGS_SIDE]))


def _read_gray(source: data.Source, number: int) -> np.ndarray | None:
    """Returns an image as float32 [H, W] in [0, 1], or None."""
    try:
        image = data.stored_image(source, number)
    except (ValueError, tf.errors.OpError):
        return None
    colors = image.pixels[..., :-1] if image.has_alpha else image.pixels
    largest = 1.0 if colors.dtype.kind == "f" else np.iinfo(colors.dtype).max
    return np.asarray(colors.mean(axis=-1), np.float32) / np.float32(largest)


def _windows(gray: np.ndarray, placing: tuple[int, float], draws: np.random.RandomState) -> np.ndarray:
    """Returns square windows at random places, float32 [k, S, S]: what is fixed in the camera counts less there."""
    height, width = gray.shape
    count, share = placing
    side = max(int(min(height, width) * share), 1)
    windows = []
    for _ in range(count):
        top, left = draws.randint(height - side + 1), draws.randint(width - side + 1)
        windows.append(_resize(gray[top : top + side, left : left + side], _SIDE))
    return np.stack(windows)


def _resize(gray: np.ndarray, side: int) -> np.ndarray:
    resized = tf.image.resize(
        gray[..., np.newaxis], (side, side), method="area" if min(gray.shape) >= side else "bicubic"
    )
    return resized.numpy()[..., 0]


def _edge_energies(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns where an image has how much horizontal and vertical contrast, [n, k, K, K] each.

    The logarithm of each cell, without the image's mean: a camera that is sharper along its rows is not an upright.
    """
    from scipy.ndimage import gaussian_filter

    # Without what changes slowly: a lamp that shines from one side is not an upright.
    detail = windows - gaussian_filter(windows, (0, 0, _SMOOTHING, _SMOOTHING))
    detail /= detail.std(axis=(2, 3), keepdims=True) + 1e-3
    # Differences of neighbors two pixels apart: of an image and of its mirror image they are mirror images, too.
    across = detail[..., 1:-1, 2:] - detail[..., 1:-1, :-2]
    down = detail[..., 2:, 1:-1] - detail[..., :-2, 1:-1]
    horizontal, vertical = (np.log(_pool(np.abs(part)) + 0.05) for part in (across, down))
    horizontal, vertical = (part - part.mean(axis=(1, 2, 3), keepdims=True) for part in (horizontal, vertical))
    return horizontal / horizontal.std(), vertical / vertical.std()


def _pool(values: np.ndarray) -> np.ndarray:
    """Returns the mean of each of K x K cells, [n, k, K, K]."""
    images, windows, height, _ = values.shape
    side = height // _CELLS
    return values.reshape(images, windows, _CELLS, side, _CELLS, side).mean(axis=(3, 5))


def _mirror_sideways(horizontal: np.ndarray, vertical: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return horizontal[..., ::-1], vertical[..., ::-1]


def _transpose(horizontal: np.ndarray, vertical: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return vertical.swapaxes(-1, -2), horizontal.swapaxes(-1, -2)


def _symmetry(
    grays: list[np.ndarray], mirror: _Mirror, placing: tuple[int, float], draws: np.random.RandomState
) -> Symmetry:
    """Returns how far the images are from being exchangeable with their mirror images.

    Letters: d_i the difference of image i and its mirror image. If the two are equally likely, d_i and -d_i are, so the
    length of the mean of d is compared with that for random signs of the d_i (a randomization test).
    """
    energies = _edge_energies(np.stack([_windows(gray, placing, draws) for gray in grays]))
    pairs = zip(energies, mirror(*energies), strict=True)
    count = len(energies[0])
    differences = np.concatenate([(own - other).mean(axis=1).reshape(count, -1) for own, other in pairs], axis=1)
    length = np.square(differences.mean(axis=0)).sum()
    signs = draws.choice([-1.0, 1.0], (_FLIPPED_SIGNS, count))
    by_chance = np.square(signs @ differences / count).sum(axis=1)
    total = max(float(np.square(differences).mean(axis=0).sum()), 1e-12)
    share, spread = float(length - by_chance.mean()) / total, float(by_chance.std()) / total
    chance = float(1 + (by_chance >= length).sum()) / (1 + _FLIPPED_SIGNS)
    return Symmetry(round(share, 4), round(spread, 4), round(chance, 4))


def _thing(grays: list[np.ndarray]) -> float | None:
    """Returns where the mean autocorrelation first reaches 0, as a share of the short side."""
    if not grays:
        return None
    mean = np.mean([_autocorrelation(gray) for gray in grays], axis=0)  # [R]
    below = np.flatnonzero(mean <= 0)
    return float(below[0] / _THINGS_SIDE) if len(below) else None


def _autocorrelation(gray: np.ndarray) -> np.ndarray:
    """Returns the autocorrelation of the central square by distance, [S / 2], without what changes slowly."""
    height, width = gray.shape
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    image = _resize(gray[top : top + short, left : left + short], _THINGS_SIDE)
    y, x = np.mgrid[-1 : 1 : 1j * _THINGS_SIDE, -1 : 1 : 1j * _THINGS_SIDE].reshape(2, -1)
    slow = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)
    image = image.ravel() - slow @ np.linalg.lstsq(slow, image.ravel(), rcond=None)[0]
    # By the Wiener-Khinchin theorem, padded so that one border does not meet the other; then per number of pairs.
    power, pairs = (_products(values) for values in (image, np.ones_like(image)))
    ratio = power / np.maximum(pairs, 1.0)
    rows, columns = np.mgrid[: _THINGS_SIDE // 2, : _THINGS_SIDE // 2]
    distance = np.hypot(rows, columns).round().astype(int).ravel()
    profile = np.bincount(distance, ratio.ravel()) / np.maximum(np.bincount(distance), 1)
    return profile[: _THINGS_SIDE // 2] / max(ratio[0, 0], 1e-12)


def _products(values: np.ndarray) -> np.ndarray:
    """Returns the sums of products of pixels at each distance, [S / 2, S / 2]."""
    side = _THINGS_SIDE
    spectrum = np.fft.rfft2(values.reshape(side, side), (2 * side, 2 * side))
    return np.fft.irfft2(np.abs(spectrum) ** 2)[: side // 2, : side // 2]
