"""RoIAlign: recorded values and gradients, an oracle by hand, differences, and degenerate boxes."""

import math

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.detection import roi_align, roi_align_adaptive
from tests.detection.records import recorded

FIXED = {"function": roi_align, "samples": 2}
ADAPTIVE = {"function": roi_align_adaptive, "most_samples": 2}


def value_and_gradient(features, rois, upstream, *, function, compile=None, **settings):
    boxes, images = tf.constant(rois[:, 1:]), tf.constant(rois[:, 0], tf.int32)

    def both(features):
        with tf.GradientTape() as tape:
            tape.watch(features)
            out = function(features, boxes, images, **settings)
            total = tf.reduce_sum(out * upstream)
        return out, tape.gradient(total, features)

    both = tf.function(both, jit_compile=compile) if compile is not None else both
    return both(tf.constant(features))


@pytest.mark.parametrize("compile", [None, False, True])
@pytest.mark.parametrize(("ratio", "settings"), [("ratio0", ADAPTIVE), ("ratio2", FIXED)])
def test_values_and_gradients_equal_the_recorded_numbers(golden, ratio, settings, compile):
    record = recorded(golden, "roi_align")
    out, gradient = value_and_gradient(
        record["features"], record["rois"], record["upstream"], size=14, scale=1 / 16, compile=compile, **settings
    )
    # The original ran in float64; sums of at most 16 products of float32 here.
    np.testing.assert_allclose(out, record[f"{ratio}/out"], rtol=1e-5, atol=1e-5)
    expected = record[f"{ratio}/dfeatures"]
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def bilinear(image, y, x):
    height, width, _ = image.shape
    if y < -1 or y > height or x < -1 or x > width:
        return np.zeros(image.shape[2])
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    v, u = y - top, x - left
    return (1 - v) * ((1 - u) * image[top, left] + u * image[top, right]) + v * (
        (1 - u) * image[bottom, left] + u * image[bottom, right]
    )


def roi_align_by_hand(features, rois, size, scale, ratio):
    out = np.zeros((len(rois), size, size, features.shape[-1]))
    for n, (image, *box) in enumerate(np.float64(rois)):
        x1, y1, x2, y2 = (scale * edge - 0.5 for edge in box)
        bin_y, bin_x = (y2 - y1) / size, (x2 - x1) / size
        n_y, n_x = (ratio, ratio) if ratio else (math.ceil(bin_y), math.ceil(bin_x))
        for p in range(size):
            for q in range(size):
                points = [
                    bilinear(
                        features[int(image)],
                        y1 + (p + (i + 0.5) / n_y) * bin_y,
                        x1 + (q + (j + 0.5) / n_x) * bin_x,
                    )
                    for i in range(n_y)
                    for j in range(n_x)
                ]
                out[n, p, q] = np.mean(points, axis=0) if points else 0
    return out


ROIS = np.float32(
    [
        [0, 3, 5, 40, 30],
        [2, 0, 0, 64, 48],
        [1, 20.5, 11.25, 21, 13],  # smaller than a pixel
        [1, -30, -20, 90, 80],  # beyond the image
        [2, 200, 200, 240, 220],  # outside
        [0, 10, 10, 10, 25],  # no area
        [2, 30, 7, 62, 44],
    ]
)


@pytest.mark.parametrize("ratio", [0, 1, 2, 3])
def test_values_equal_those_by_hand(ratio):
    features = np.random.default_rng(5).standard_normal((3, 12, 16, 2)).astype("f4")
    boxes, images = ROIS[:, 1:], tf.constant(ROIS[:, 0], tf.int64)
    if ratio:
        out = roi_align(features, boxes, images, size=3, scale=0.25, samples=ratio)
    else:
        out = roi_align_adaptive(features, boxes, images, size=3, scale=0.25, most_samples=11)
    np.testing.assert_allclose(out, roi_align_by_hand(features, ROIS, 3, 0.25, ratio), rtol=1e-4, atol=1e-5)
    assert not out.numpy()[4].any()


@pytest.mark.parametrize(
    "settings", [FIXED, {"function": roi_align_adaptive, "most_samples": 4}], ids=["fixed", "adaptive"]
)
def test_gradients_equal_differences(settings):
    r = np.random.default_rng(6)
    features = r.standard_normal((3, 5, 6, 1)).astype("f4")
    rois = ROIS * np.float32([1, *[0.4] * 4])
    upstream = r.standard_normal((len(rois), 3, 3, 1)).astype("f4")
    _, gradient = value_and_gradient(features, rois, upstream, size=3, scale=0.25, **settings)
    ratio = settings.get("samples", 0)
    differences = np.zeros_like(features)
    for place in np.ndindex(features.shape):
        step = np.zeros(features.shape)
        step[place] = 1.0  # the values are linear in the features
        differences[place] = (upstream * roi_align_by_hand(step, rois, 3, 0.25, ratio)).sum()
    np.testing.assert_allclose(gradient, differences, rtol=1e-4, atol=1e-5)


def test_more_samples_than_the_most_are_not_taken():
    features = np.random.default_rng(7).standard_normal((1, 12, 16, 1)).astype("f4")
    box, image = tf.constant([[0.0, 0, 16, 12]]), tf.constant([0])
    capped = roi_align_adaptive(features, box, image, size=2, scale=1.0, most_samples=2)
    np.testing.assert_allclose(capped, roi_align(features, box, image, size=2, scale=1.0, samples=2), rtol=1e-6)


@pytest.mark.parametrize("settings", [FIXED, ADAPTIVE], ids=["fixed", "adaptive"])
def test_no_boxes_and_half_precision(settings):
    features = tf.ones([2, 5, 6, 3], tf.bfloat16)
    function = settings["function"]
    rest = {key: value for key, value in settings.items() if key != "function"}
    none = function(features, tf.zeros([0, 4]), tf.zeros([0], tf.int32), size=7, scale=1.0, **rest)
    assert none.shape == (0, 7, 7, 3)
    one = function(features, tf.constant([[1.0, 1, 4, 4]]), tf.constant([1]), size=7, scale=1.0, **rest)
    assert one.dtype == tf.bfloat16
    np.testing.assert_array_equal(tf.cast(one, tf.float32), np.ones((1, 7, 7, 3)))


def test_boxes_get_no_gradient():
    boxes = tf.constant([[1.0, 1, 4, 4]])
    with tf.GradientTape() as tape:
        tape.watch(boxes)
        total = tf.reduce_sum(roi_align(tf.ones([1, 5, 6, 3]), boxes, tf.constant([0]), size=2, scale=1.0))
    assert tape.gradient(total, boxes) is None


@pytest.mark.parametrize("wrong", [{"size": 0}, {"samples": 0}, {"scale": 0.0}])
def test_wrong_arguments_are_errors(wrong):
    with pytest.raises(ValueError, match="received .* expected"):
        roi_align(
            tf.ones([1, 5, 6, 3]), tf.zeros([1, 4]), tf.zeros([1], tf.int32), **{"size": 2, "scale": 1.0, **wrong}
        )
