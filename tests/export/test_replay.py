"""What a reader of an exported file is given."""

import numpy as np
import pytest

from barlowtf.export.replay import filled_up, in_batches

IMAGES = np.arange(20, dtype=np.float32).reshape(10, 2)


@pytest.mark.parametrize("size", [1, 3, 10, 16, None])
def test_images_are_filled_up_for_a_program_that_takes_exactly_as_many(size):
    calls = []

    def call(images):
        calls.append(len(images))
        return {"doubled": 2 * images, "sums": images.sum(axis=1)}

    call_filled = filled_up(call, size)
    found = in_batches(lambda rows: call_filled(IMAGES[rows]), len(IMAGES), size)
    np.testing.assert_array_equal(found["doubled"], 2 * IMAGES)
    np.testing.assert_array_equal(found["sums"], IMAGES.sum(axis=1))
    assert set(calls) == {size or len(IMAGES)}
