"""Sums over images: what a sample, or a whole data set, shows of sizes, channels, bits, means and deviations."""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from barlowtf.data.stored import StoredImage

# Bits of the cameras and detectors that store their numbers in 16: of a sample that reaches no further than the largest
# of one of these, that one is taken for white.
_CAMERA_BITS = (9, 10, 11, 12, 13, 14)
_WHITE = 65535
# Of a larger image every k-th row and column enter mean and deviation.
_MOST_PIXELS = 2**18


@dataclass(frozen=True)
class ImageFacts:
    """What one image adds to the sums.

    Attributes:
        kind: The file's format.
        shape: Height and width, pixels, and channels as stored.
        has_alpha: Whether the last channel is alpha, which counts in no other attribute.
        channels: Number of color channels.
        is_gray: Whether it has one channel, or three that are equal.
        is_deep: Whether its numbers have 16 bits.
        is_float: Whether its numbers are floats.
        largest: Largest number of an image of 16 bits, 0 of others.
        moments: Number of pixels, and sum and sum of squares of each channel, in [0, 1].
    """

    kind: str
    shape: tuple[int, ...]
    has_alpha: bool
    channels: int
    is_gray: bool
    is_deep: bool
    is_float: bool
    largest: int
    moments: tuple[int, np.ndarray, np.ndarray]


def colors_of(image: StoredImage) -> np.ndarray:
    """Returns the pixels without alpha, [H, W, C]."""
    return image.pixels[..., :-1] if image.has_alpha else image.pixels


def image_facts(image: StoredImage) -> ImageFacts:
    """Returns what one image adds to the sums."""
    colors = colors_of(image)
    is_deep = colors.dtype == np.uint16
    values = _over_white(image).reshape(-1, colors.shape[2])
    return ImageFacts(
        kind=image.kind,
        shape=image.pixels.shape,
        has_alpha=image.has_alpha,
        channels=colors.shape[2],
        is_gray=colors.shape[2] == 1 or (colors.shape[2] == 3 and bool((colors == colors[..., :1]).all())),
        is_deep=is_deep,
        is_float=colors.dtype.kind == "f",
        largest=int(colors.max()) if is_deep else 0,
        moments=(len(values), values.sum(axis=0), np.square(values).sum(axis=0)),
    )


class Tally:
    """Sums over images.

    Attributes:
        shapes: Height, width and channels of each image.
        stored_channels: Channels as stored, alpha too -> number of images.
        color_channels: Channels without alpha -> number of images.
    """

    def __init__(self) -> None:
        """Starts empty."""
        self.shapes: list[tuple[int, ...]] = []
        self.stored_channels: Counter[int] = Counter()
        self.color_channels: Counter[int] = Counter()
        self._kinds: Counter[str] = Counter()
        # Color channels -> pixels, sum and sum of squares of each channel in [0, 1]; 16 bits apart, as white is not
        # known before the end.
        self._moments: dict[tuple[int, bool], list] = {}
        self._largest, self._has_alpha, self._has_floats, self._is_gray = 0, False, False, True

    def add(self, image: ImageFacts) -> None:
        """Adds one image."""
        self.shapes.append(image.shape)
        self._kinds[image.kind] += 1
        self.stored_channels[image.shape[2]] += 1
        self.color_channels[image.channels] += 1
        self._has_alpha |= image.has_alpha
        self._is_gray &= image.is_gray
        self._largest = max(self._largest, image.largest)
        self._has_floats |= image.is_float
        key = (image.channels, image.is_deep)
        before = self._moments.get(key, [0, 0.0, 0.0])
        self._moments[key] = [a + b for a, b in zip(before, image.moments, strict=True)]

    def summary(self) -> dict[str, object]:
        """Returns the fields of `SampleFacts` that follow from the images; at least one was added."""
        heights, widths = ([shape[axis] for shape in self.shapes] for axis in (0, 1))
        channels = _training_channels(self.color_channels)
        white = _white(self._largest)
        mean, std = self._mean_and_std(channels, _WHITE / white)
        return {
            "kinds": dict(self._kinds.most_common()),
            "heights": _range(heights),
            "widths": _range(widths),
            "channels": channels,
            "stored_channels": dict(self.stored_channels.most_common()),
            "has_alpha": self._has_alpha,
            "bits": 16 if self._largest or self._has_floats else 8,
            "white": white,
            "is_gray": self._is_gray,
            "mean": mean,
            "std": std,
        }

    def _mean_and_std(self, channels: int, deep_factor: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Returns both of each channel; gray images count in each of three channels, others not in `channels` not."""
        pixels, total, squares = 0, np.zeros(channels), np.zeros(channels)
        for (own, is_deep), (count, sums, sums_of_squares) in self._moments.items():
            if own == channels or own == 1:
                factor = deep_factor if is_deep else 1.0
                pixels += count
                total += factor * sums
                squares += factor**2 * sums_of_squares
        mean = total / pixels
        std = np.sqrt(np.maximum(squares / pixels - mean**2, 0.0))
        # One value throughout has no deviation, and a normalization divides by it.
        std = np.maximum(std, 1 / 255)
        return tuple(round(float(value), 4) for value in mean), tuple(round(float(value), 4) for value in std)


def _over_white(image: StoredImage) -> np.ndarray:
    """Returns colors in [0, 1], float64 [h, w, C], of every k-th row and column; what is transparent over white."""
    step = math.ceil(math.sqrt(image.pixels.shape[0] * image.pixels.shape[1] / _MOST_PIXELS))
    pixels = image.pixels[::step, ::step]
    values = pixels / (1.0 if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max)
    if not image.has_alpha:
        return values
    alpha = values[..., -1:]
    return values[..., :-1] * alpha + 1.0 - alpha


def _training_channels(counts: Counter[int]) -> int:
    """Returns 3 where some have 3 and others 1, so that no color is lost; else the most frequent number."""
    if set(counts) <= {1, 3}:
        return max(counts)
    return max(counts, key=lambda channels: (counts[channels], channels))


def _white(largest: int) -> int:
    """Returns the largest number of 9 to 14 bits that no value exceeds, 65535 where there is none."""
    if largest < 2**8:
        return _WHITE
    return next((2**bits - 1 for bits in _CAMERA_BITS if largest < 2**bits), _WHITE)


def _range(values: list[int]) -> tuple[int, int, int]:
    return min(values), int(np.median(values)), max(values)
