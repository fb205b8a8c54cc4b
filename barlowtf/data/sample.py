"""What the images of a data set are like, from a sample: what a recipe is chosen by and `barlowtf data show` prints."""

import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf
from pydantic import Field

from barlowtf.data.order import sample_ids
from barlowtf.data.source import Source
from barlowtf.data.stored import StoredImage, read_stored
from barlowtf.data.threads import cores
from barlowtf.errors import DataError
from barlowtf.records import Record

# Bits of the cameras and detectors that store their numbers in 16: of a sample that reaches no further than the largest
# of one of these, that one is taken for white.
_CAMERA_BITS = (9, 10, 11, 12, 13, 14)
_WHITE = 65535
# Of a larger image every k-th row and column enter mean and deviation.
_MOST_PIXELS = 2**18


class SampleFacts(Record):
    """What a sample of a data set shows."""

    images: int = Field(description="number of images of the whole data set")
    sampled: int = Field(description="number of images of the sample")
    unreadable: int = Field(description="how many of these cannot be read")
    kinds: dict[str, int] = Field(description="format -> number of images, most first; array: decoded ones")
    heights: tuple[int, int, int] = Field(description="least, median and largest height, pixels, as viewers show them")
    widths: tuple[int, int, int] = Field(description="the same of the widths")
    channels: int = Field(description="channels to train with, 1, 3, or those of the most images; alpha does not count")
    stored_channels: dict[int, int] = Field(description="channels as stored, alpha too -> number of images, most first")
    has_alpha: bool = Field(description="whether an image has an alpha channel")
    bits: int = Field(description="8, or 16 where an image has numbers of 16 bits or floats")
    white: int = Field(
        description="what counts as white among numbers of 16 bits: 65535, or the largest of 9 to 14 bits where no "
        "value exceeds it"
    )
    is_gray: bool = Field(description="whether all images are gray: of one channel, or of three that are equal")
    mean: tuple[float, ...] = Field(
        description="mean of each of the channels, in [0, 1]; of images above a quarter of a million pixels over every "
        "k-th row and column"
    )
    std: tuple[float, ...] = Field(description="standard deviation of each, like mean; at least 1 / 255")
    has_labels: bool = Field(description="whether the images have labels")
    classes: int | None = Field(description="number of classes; null: no labels")
    problems: dict[str, str] = Field({}, description="some unreadable images: where each lies -> why it cannot be read")


def sample_facts(source: Source, count: int = 256, seed: int = 0) -> SampleFacts:
    """Returns what a sample of a data set shows; the sample is the same each time.

    Args:
        source: The images.
        count: Number of images to read, >= 1; fewer where there are fewer.
        seed: Of the draw, >= 0.

    Raises:
        DataError: No image of the sample can be read.
    """
    ids = sample_ids(source.size, count, seed=seed)
    tally, problems = _Tally(), {}
    with ThreadPoolExecutor(cores()) as threads:
        for number, image in zip(ids, threads.map(lambda number: _read(source, int(number)), ids), strict=True):
            if isinstance(image, StoredImage):
                tally.add(image)
            else:
                problems[source.identify(int(number))] = image
    if not tally.shapes:
        name, reason = next(iter(problems.items()))
        raise DataError(
            f"Cannot read any of {len(ids)} images of {source.name}, e.g. {name} ({reason}). Check that the files are "
            "images."
        )
    labels = source.labels
    class_count = None if labels is None else len(source.class_names or np.unique(labels))
    return tally.facts(
        images=source.size,
        sampled=len(ids),
        unreadable=len(problems),
        has_labels=source.has_labels,
        classes=class_count,
        problems=dict(list(problems.items())[:5]),
    )


def stored_image(source: Source, index: int) -> StoredImage:
    """Returns one image with all channels and bits that it has.

    Raises:
        ValueError: The file is no image.
        tf.errors.OpError: It cannot be read.
    """
    image = source.read(tf.constant(index, tf.int64))
    if image.dtype == tf.string:
        return read_stored(image.numpy())
    return StoredImage("array", image.numpy(), image.shape[-1] in (2, 4) and image.dtype == tf.uint8)


def _read(source: Source, index: int) -> StoredImage | str:
    """Returns an image, or why it cannot be read."""
    try:
        return stored_image(source, index)
    except (ValueError, tf.errors.OpError) as error:
        return str(error).partition("\n")[0]


class _Tally:
    """Sums over the images of a sample."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self._kinds: Counter[str] = Counter()
        self._color_channels: Counter[int] = Counter()
        self._stored_channels: Counter[int] = Counter()
        # Color channels -> pixels, sum and sum of squares of each channel in [0, 1]; 16 bits apart, as white is not
        # known before the end.
        self._moments: dict[tuple[int, bool], list] = {}
        self._largest, self._has_alpha, self._has_floats, self._is_gray = 0, False, False, True

    def add(self, image: StoredImage) -> None:
        pixels = image.pixels
        self.shapes.append(pixels.shape)
        self._kinds[image.kind] += 1
        self._stored_channels[pixels.shape[2]] += 1
        self._has_alpha |= image.has_alpha
        colors = pixels[..., :-1] if image.has_alpha else pixels
        self._color_channels[colors.shape[2]] += 1
        self._is_gray &= colors.shape[2] == 1 or (colors.shape[2] == 3 and bool((colors == colors[..., :1]).all()))
        is_deep = pixels.dtype == np.uint16
        if is_deep:
            self._largest = max(self._largest, int(colors.max()))
        self._has_floats |= pixels.dtype.kind == "f"
        values = _over_white(image).reshape(-1, colors.shape[2])
        parts = [len(values), values.sum(axis=0), np.square(values).sum(axis=0)]
        key = (colors.shape[2], is_deep)
        self._moments[key] = [a + b for a, b in zip(self._moments.get(key, [0, 0.0, 0.0]), parts, strict=True)]

    def facts(self, **known: object) -> SampleFacts:
        heights, widths = ([shape[axis] for shape in self.shapes] for axis in (0, 1))
        channels = _training_channels(self._color_channels)
        white = _white(self._largest)
        mean, std = self._mean_and_std(channels, _WHITE / white)
        return SampleFacts(
            kinds=dict(self._kinds.most_common()),
            heights=_range(heights),
            widths=_range(widths),
            channels=channels,
            stored_channels=dict(self._stored_channels.most_common()),
            has_alpha=self._has_alpha,
            bits=16 if self._largest or self._has_floats else 8,
            white=white,
            is_gray=self._is_gray,
            mean=mean,
            std=std,
            **known,  # type: ignore[arg-type]
        )

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
