"""Anchors: the recorded numbers and their definition."""

import numpy as np
import pytest

from barlowtf.detection import cell_anchors, map_anchors
from tests.detection.records import recorded

SIZES, RATIOS = (32, 64, 128, 256, 512), (0.5, 1, 2)


def test_anchors_equal_the_recorded_numbers(golden):
    record = recorded(golden, "anchors")
    # Half of an extent of up to 724 pixels, rounded once to float32.
    np.testing.assert_allclose(cell_anchors(sizes=SIZES, ratios=RATIOS), record["cell"], rtol=1e-7, atol=1e-5)
    height, width = int(record["height"]), int(record["width"])
    anchors = map_anchors(height, width, stride=16, sizes=SIZES, ratios=RATIOS)
    np.testing.assert_allclose(anchors, record["all"], rtol=1e-7, atol=5e-5)


def test_anchors_have_their_area_their_ratio_and_their_center():
    anchors = map_anchors(2, 3, stride=8, sizes=(10, 30), ratios=(0.25, 4)).numpy().reshape(2, 3, 2, 2, 4)
    extent, center = anchors[..., 2:] - anchors[..., :2], (anchors[..., 2:] + anchors[..., :2]) / 2
    for row in range(2):
        for column in range(3):
            for size, side in enumerate((10, 30)):
                for ratio, value in enumerate((0.25, 4)):
                    width, height = extent[row, column, size, ratio]
                    assert width * height == pytest.approx(side**2, rel=1e-5)
                    assert height / width == pytest.approx(value, rel=1e-5)
                    np.testing.assert_allclose(center[row, column, size, ratio], (8 * column, 8 * row), atol=1e-5)


def test_an_empty_map_has_no_anchors():
    assert map_anchors(0, 4, stride=16, sizes=(32,), ratios=(1,)).shape == (0, 4)


@pytest.mark.parametrize(
    "arguments",
    [
        {"stride": 16, "sizes": (), "ratios": (1,)},
        {"stride": 16, "sizes": (32,), "ratios": (0,)},
        {"stride": 0, "sizes": (32,), "ratios": (1,)},
    ],
)
def test_wrong_arguments_are_errors(arguments):
    with pytest.raises(ValueError, match="received .* expected"):
        map_anchors(2, 2, **arguments)
