"""Polygons as bits: recorded numbers, COCO's own program, and what must hold by itself."""

import numpy as np
import pycocotools.mask
import pytest

from barlowtf.detection import polygons_to_bits, polygons_within_box
from tests.detection.records import bits, recorded


@pytest.mark.parametrize("size", [14, 28])
def test_targets_equal_the_recorded_numbers(golden, size):
    record = recorded(golden, "crop")
    found = [polygons_within_box([record[f"polygon/{i}"]], record["boxes"][i], size=size) for i in range(6)]
    np.testing.assert_array_equal(found, bits(record[f"{size}/from_polygon"], (6, size, size)))


# pycocotools hands NumPy an array in the way of NumPy 1.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("seed", range(40))
def test_bits_equal_those_of_pycocotools(seed):
    r = np.random.default_rng(seed)
    height, width = r.integers(1, 40, 2)
    polygons = [r.uniform(-10, 50, 2 * r.integers(3, 9)) for _ in range(r.integers(1, 4))]
    if seed % 2:
        polygons = [np.round(polygon) for polygon in polygons]  # corners on pixels, edges of no length
    runs = pycocotools.mask.frPyObjects([polygon.tolist() for polygon in polygons], height, width)
    expected = pycocotools.mask.decode(pycocotools.mask.merge(runs)).astype(bool)
    np.testing.assert_array_equal(polygons_to_bits(polygons, height=height, width=width), expected)


def test_a_rectangle_of_whole_pixels_is_itself():
    expected = np.zeros((9, 12), bool)
    expected[2:7, 3:10] = True
    rectangle = np.array([3.0, 2, 10, 2, 10, 7, 3, 7])
    np.testing.assert_array_equal(polygons_to_bits([rectangle], height=9, width=12), expected)
    np.testing.assert_array_equal(
        polygons_to_bits([rectangle[:6], rectangle[[0, 1, 4, 5, 6, 7]]], height=9, width=12), expected
    )
    assert polygons_within_box([rectangle], np.array([3, 2, 10, 7]), size=14).all()


def test_a_box_counts_as_a_tenth_of_a_pixel_at_least():
    thin = np.array([2.0, 2, 2.05, 2, 2.05, 8, 2, 8])
    found = polygons_within_box([thin], np.array([2, 2, 2.05, 8]), size=14)
    expected = np.zeros((14, 14), bool)
    expected[:, :7] = True  # half as wide as the box
    np.testing.assert_array_equal(found, expected)


def test_degenerate_polygons_have_no_pixels():
    assert not polygons_to_bits([], height=5, width=5).any()
    assert not polygons_to_bits([np.full(6, 2.0)], height=5, width=5).any()
    assert not polygons_to_bits([np.array([90.0, 90, 95, 90, 95, 99])], height=5, width=5).any()
    assert polygons_within_box([np.array([1.0, 1, 3, 1, 3, 3])], np.array([2, 2, 2, 2]), size=14).shape == (14, 14)


@pytest.mark.parametrize(
    "polygon",
    [[1.0, 2, 3, 4], [1.0, 2, 3, 4, 5], [1.0, 2, 3, 4, 5, np.nan], [1.0, 2, 3, 4, 5, 1e9], [[1.0, 2, 3, 4, 5, 6]]],
)
def test_wrong_polygons_are_errors(polygon):
    with pytest.raises(ValueError, match="received .* expected"):
        polygons_to_bits([np.array(polygon)], height=5, width=5)
