"""Mask targets and pasted masks: recorded numbers and oracles by hand."""

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.detection import crop_masks, crop_soft_masks, paste_masks, paste_soft_masks
from tests.detection.records import bits, recorded
from tests.detection.test_roi_align import roi_align_by_hand

SIZES = [14, 28]


@pytest.mark.parametrize("size", SIZES)
def test_targets_equal_the_recorded_numbers(golden, size):
    record = recorded(golden, "crop")
    masks, boxes = bits(record["bitmasks"], (6, 40, 50)), record["boxes"]
    np.testing.assert_allclose(crop_soft_masks(masks, boxes, size=size), record[f"{size}/soft"], atol=1e-5)
    np.testing.assert_array_equal(crop_masks(masks, boxes, size=size), bits(record[f"{size}/out"], (6, size, size)))


@pytest.mark.parametrize("size", SIZES)
def test_pasted_masks_equal_the_recorded_numbers(golden, size):
    record = recorded(golden, "paste")
    height, width = (int(extent) for extent in record["image"])
    masks, boxes = record[f"{size}/masks"], record["boxes"]
    soft = paste_soft_masks(masks, boxes, height=height, width=width)
    np.testing.assert_allclose(soft, record[f"{size}/soft"], atol=1e-5)
    pasted = paste_masks(masks, boxes, height=height, width=width)
    np.testing.assert_array_equal(pasted, bits(record[f"{size}/out"], (6, height, width)))


BOXES = np.float32(
    [[2, 3, 17, 21], [0, 0, 30, 24], [9.5, 8.25, 10, 11], [-8, -5, 12, 40], [50, 50, 60, 60], [4, 4, 4, 9]]
)


@pytest.mark.parametrize("compile", [False, True])
def test_targets_equal_those_by_hand(compile):
    masks = np.random.default_rng(8).uniform(size=(6, 24, 30)) < 0.5
    crop = tf.function(lambda m, b: crop_soft_masks(m, b, size=3), jit_compile=compile)
    rois = np.concatenate([np.arange(6)[:, None], BOXES], axis=1)
    # Box 3 has 15 rows to a bin, more than the 8 of the image: it is drawn with 8.
    inside = [0, 1, 2, 4, 5]
    expected = roi_align_by_hand(masks[..., None].astype("f8"), rois[inside], 3, 1.0, 0)[..., 0]
    found = crop(masks, BOXES).numpy()
    np.testing.assert_allclose(found[inside], expected, rtol=1e-4, atol=1e-5)
    assert not found[4:].any() and np.isfinite(found).all()


def paste_by_hand(mask, box, height, width):
    x1, y1, x2, y2 = np.float64(box)
    size, out = len(mask), np.zeros((height, width))
    for row, column in np.ndindex(height, width):
        y, x = (row + 0.5 - y1) / (y2 - y1) * size - 0.5, (column + 0.5 - x1) / (x2 - x1) * size - 0.5
        for i, j in np.ndindex(size, size):
            out[row, column] += max(0, 1 - abs(y - i)) * max(0, 1 - abs(x - j)) * mask[i, j]
    return out


@pytest.mark.parametrize("compile", [False, True])
def test_pasted_masks_equal_those_by_hand(compile):
    masks = np.random.default_rng(9).uniform(size=(6, 5, 5)).astype("f4")
    paste = tf.function(lambda m, b: paste_soft_masks(m, b, height=24, width=30), jit_compile=compile)
    found = paste(masks, BOXES).numpy()
    for number in range(5):
        np.testing.assert_allclose(found[number], paste_by_hand(masks[number], BOXES[number], 24, 30), atol=1e-4)
    assert not found[4:].any()  # outside, and without an area


def test_a_value_of_one_half_belongs_to_the_mask():
    half, box = tf.constant([[[True, False]]]), tf.constant([[0.0, 0, 2, 1]])
    assert crop_masks(half, box, size=1).numpy().all()
    assert paste_masks(tf.fill([1, 1, 1], 0.5), tf.constant([[0.0, 0, 1, 1]]), height=1, width=1).numpy().all()


def test_no_masks():
    assert crop_masks(tf.zeros([0, 24, 30], bool), tf.zeros([0, 4]), size=14).shape == (0, 14, 14)
    assert paste_masks(tf.zeros([0, 14, 14]), tf.zeros([0, 4]), height=24, width=30).shape == (0, 24, 30)
    with pytest.raises(ValueError, match="received .* expected"):
        crop_masks(tf.zeros([1, 24, 30], bool), tf.zeros([1, 4]), size=0)
