"""Images from which nothing can be learned: of one color each, or all of them equal."""

import hashlib

import numpy as np
import tensorflow as tf

from barlowtf.data.order import sample_ids
from barlowtf.data.sample import stored_image
from barlowtf.data.source import Source
from barlowtf.data.tally import colors_of


def find_sameness(source: Source, count: int = 16, seed: int = 0) -> str | None:
    """Returns what makes a sample of the images teach nothing, a sentence; None where nothing does.

    Args:
        source: The images; those that cannot be read are passed over.
        count: Number of images to read, >= 2.
        seed: Of the draw, >= 0.
    """
    digests, flat = set(), 0
    read: list[int] = []
    for number in sample_ids(source.size, count, seed=seed):
        try:
            pixels = colors_of(stored_image(source, int(number)))
        except (ValueError, tf.errors.OpError):
            continue
        read.append(int(number))
        flat += bool((pixels == pixels[:1, :1]).all())
        digests.add(hashlib.sha256(f"{pixels.shape}".encode() + np.ascontiguousarray(pixels).tobytes()).digest())
    if len(read) < 2:
        return None
    example = source.identify(read[0])
    if flat == len(read):
        return f"All {len(read)} images of a sample have one color throughout, e.g. {example}."
    if len(digests) == 1:
        return f"All {len(read)} images of a sample are equal, e.g. {example}."
    return None
