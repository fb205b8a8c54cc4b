"""Images from which nothing can be learned."""

import numpy as np
import pytest

from barlowtf.data import ArraySource, find_sameness, open_source

NOISE = np.random.default_rng(0).integers(0, 256, (30, 6, 6, 3), np.uint8)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros_like(NOISE), "All 16 images of a sample have one color throughout, e.g. some image "),
        (NOISE[:, :1, :1].repeat(6, 1).repeat(6, 2), "All 16 images of a sample have one color throughout"),
        (NOISE[:1].repeat(30, 0), "All 16 images of a sample are equal, e.g. some image "),
        (NOISE, None),
    ],
)
def test_what_is_found(images, words):
    found = find_sameness(ArraySource("some", images))
    assert found is None if words is None else found.startswith(words)


def test_images_that_cannot_be_read_are_passed_over(class_folders):
    source = open_source(str(class_folders), "train")
    for number in range(source.size - 1):
        with open(source.identify(number), "wb") as file:
            file.write(b"no image")
    assert find_sameness(source, count=23) is None
