"""What the images of a data set are like, from a sample: what a recipe is chosen by and `barlowtf data show` prints."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf
from pydantic import Field

from barlowtf.data.images import reason_of_image
from barlowtf.data.order import sample_ids
from barlowtf.data.source import Source
from barlowtf.data.stored import StoredImage, read_stored
from barlowtf.data.tally import ImageFacts, Tally, image_facts
from barlowtf.data.threads import cores
from barlowtf.errors import DataError
from barlowtf.records import Record


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
    tally, problems = Tally(), {}
    with ThreadPoolExecutor(cores()) as threads:
        for number, image in zip(ids, threads.map(lambda number: _read(source, int(number)), ids), strict=True):
            if isinstance(image, ImageFacts):
                tally.add(image)
            else:
                problems[source.identify(int(number))] = image
    if not tally.shapes:
        name, reason = next(iter(problems.items()))
        raise DataError(
            f"Cannot read any of {len(ids)} images of {source.name}, e.g. {name} ({reason}). Check that the files are "
            "images."
        )
    return facts_of(source, tally, problems)


def facts_of(source: Source, tally: Tally, problems: dict[str, str]) -> SampleFacts:
    """Returns what the images in a tally, at least one, show of their data set.

    Args:
        source: The data set.
        tally: Its images that were read.
        problems: Those that cannot be read: where each lies -> why.
    """
    labels = source.labels
    known = {
        "images": source.size,
        "sampled": len(tally.shapes) + len(problems),
        "unreadable": len(problems),
        "has_labels": source.has_labels,
        "classes": None if labels is None else len(source.class_names or np.unique(labels[labels >= 0])),
        "problems": dict(list(problems.items())[:5]),
    }
    return SampleFacts(**known, **tally.summary())  # type: ignore[arg-type]


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


def _read(source: Source, index: int) -> ImageFacts | str:
    """Returns what an image adds to the sums, or why it cannot be read."""
    try:
        return image_facts(stored_image(source, index))
    except (ValueError, tf.errors.OpError) as error:
        return reason_of_image(error)
