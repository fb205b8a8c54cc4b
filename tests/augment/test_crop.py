"""Crop boxes against torchvision's distribution and rule; resizing against Pillow's numbers and a float64 oracle."""

import math

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.augment import (
    CROP_A,
    CROP_DRAWS,
    crop_and_resize,
    draw_boxes,
    example_seeds,
    random_resized_crop,
    uniforms,
)


def _draws(count):
    return uniforms(example_seeds(11, 0, tf.range(count, dtype=tf.int64)), CROP_A, CROP_DRAWS)


def _box_oracle(u, height, width, area, aspect):
    """RandomResizedCrop.get_params in Python's float64."""
    for i in range(10):
        target = (area[0] + (area[1] - area[0]) * u[i]) * height * width
        ratio = math.exp(math.log(aspect[0]) + math.log(aspect[1] / aspect[0]) * u[10 + i])
        w, h = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
        if 0 < w <= width and 0 < h <= height:
            return math.floor(u[20] * (height - h + 1)), math.floor(u[21] * (width - w + 1)), h, w
    h, w = height, width
    if width / height < aspect[0]:
        h = round(width / aspect[0])
    elif width / height > aspect[1]:
        w = round(height * aspect[1])
    return (height - h) // 2, (width - w) // 2, h, w


def _cubic(x):
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def _resize_oracle(image, size):
    """Antialiased cubic resize of [H, W, C], one axis after the other, in float64."""
    for axis in (0, 1):
        scale = image.shape[axis] / size[axis]
        width = max(scale, 1.0)
        rows = []
        for i in range(size[axis]):
            weights = [_cubic((j + 0.5 - (i + 0.5) * scale) / width) for j in range(image.shape[axis])]
            rows.append(np.tensordot(np.array(weights) / sum(weights), image, axes=(0, axis)))
        image = np.stack(rows, axis=axis)
    return image


def test_boxes_have_torchvisions_distribution(golden):
    recorded = np.load(golden / "crop_distribution.npz")
    top, _, height, width = draw_boxes(_draws(20_000), 375, 500).numpy().astype(np.float64).T
    for name, drawn in [
        ("area", height * width / (375 * 500)),
        ("log_aspect", np.log(width / height)),
        ("top_over_slack", top / np.maximum(375 - height, 1)),
    ]:
        # 20,000 draws: an empirical quantile of these wide distributions moves by less than 0.01.
        np.testing.assert_allclose(np.quantile(drawn, recorded["quantile"]), recorded[name], rtol=0, atol=0.02)


@pytest.mark.parametrize(
    "height, width, area, aspect",
    [
        (375, 500, (0.08, 1.0), (3 / 4, 4 / 3)),
        (32, 32, (0.2, 1.0), (3 / 4, 4 / 3)),
        (400, 31, (0.5, 1.0), (3 / 4, 4 / 3)),  # Tall: few tries fit, or none.
        (20, 400, (0.3, 1.0), (0.5, 2.0)),
    ],
)
def test_boxes_follow_the_rule(height, width, area, aspect):
    draws = _draws(400)
    boxes = draw_boxes(draws, height, width, area, aspect).numpy()
    expected = np.array([_box_oracle(u, height, width, area, aspect) for u in draws.numpy().astype(np.float64)])
    # float32 rounds a side that lies within 1e-5 of a half to the other pixel: rarely, and by one pixel.
    assert np.mean(np.any(boxes != expected, axis=1)) <= 0.01
    assert np.abs(boxes - expected).max() <= 1
    assert boxes.dtype == np.int32
    assert np.all(boxes[:, :2] >= 0) and np.all(boxes[:, 2:] >= 1)
    assert np.all(boxes[:, 0] + boxes[:, 2] <= height) and np.all(boxes[:, 1] + boxes[:, 3] <= width)


def test_central_box_where_no_try_fits():
    boxes = draw_boxes(_draws(5), [100, 4, 4, 100, 30], [5, 100, 100, 5, 30], area=(1.0, 1.0), aspect=(0.75, 0.75))
    # Aspect 3/4 exactly: width 5 has height round(5 / 0.75) = 7; height 4 has width 3; 30 x 30 has width round(22.5).
    np.testing.assert_array_equal(boxes, [[46, 0, 7, 5], [0, 48, 4, 3], [0, 48, 4, 3], [46, 0, 7, 5], [0, 4, 30, 22]])


def test_each_example_may_have_its_own_size():
    draws = _draws(3)
    together = draw_boxes(draws, tf.constant([40, 60, 90], tf.int64), tf.constant([50, 50, 20], tf.int64))
    for i, (height, width) in enumerate([(40, 50), (60, 50), (90, 20)]):
        np.testing.assert_array_equal(together[i : i + 1], draw_boxes(draws[i : i + 1], height, width))


def test_positions_reach_both_ends():
    draws = np.full([2, CROP_DRAWS], 0.5, np.float32)
    draws[0, -2:], draws[1, -2:] = 0.0, 1 - 2.0**-24
    boxes = draw_boxes(tf.constant(draws), 100, 100).numpy()
    np.testing.assert_array_equal(boxes[0, :2], [0, 0])
    np.testing.assert_array_equal(boxes[1, :2] + boxes[1, 2:], [100, 100])


@pytest.mark.parametrize("photograph", [0, 1])
@pytest.mark.parametrize("crop", [0, 1, 2])
def test_crops_match_torchvision(photographs, recorded, assert_near_recorded, photograph, crop):
    box, expected = recorded[f"{photograph}/crop/{crop}/box"], recorded[f"{photograph}/crop/{crop}/out"]
    image = photographs[photograph]
    on_host = crop_and_resize(tf.constant(image), tf.constant(box, tf.int32), (96, 96))
    assert on_host.dtype == tf.uint8 and on_host.shape == (96, 96, 3)
    # Pillow rounds to uint8 between its two passes and in its weights.
    assert_near_recorded(on_host.numpy() / 255, expected, mean=1, percentile_99=6)
    on_device = random_resized_crop(tf.constant(image[None] / 255, tf.float32), box[None], (96, 96))[0]
    assert_near_recorded(on_device, expected, mean=1, percentile_99=6)


@pytest.mark.parametrize("box, size", [([2, 3, 20, 27], (8, 9)), ([0, 0, 5, 4], (12, 10)), ([7, 1, 9, 30], (9, 12))])
def test_resizing_follows_the_oracle(box, size):
    image = np.random.default_rng(0).integers(0, 256, (31, 33, 3)).astype(np.uint8)
    top, left, height, width = box
    expected = _resize_oracle(image[top : top + height, left : left + width] / 255.0, size).clip(0, 1)
    on_device = random_resized_crop(tf.constant(image[None] / 255, tf.float32), tf.constant([box]), size)[0]
    # float32 weights and sums of at most 30 terms of size 1: some 1e-6.
    np.testing.assert_allclose(on_device, expected, rtol=0, atol=5e-6)
    on_host = crop_and_resize(tf.constant(image), tf.constant(box, tf.int32), size).numpy()
    # Rounding alone is half a step; the rest is float32 at the value 255.
    assert np.abs(on_host - 255 * expected).max() <= 0.5 + 1e-3


def test_host_pipeline_draws_and_resizes_as_outside_a_graph():
    images = [np.random.default_rng(i).integers(0, 256, (20 + i, 30 - i, 3)).astype(np.uint8) for i in range(3)]
    signature = (tf.TensorSpec([None, None, 3], tf.uint8), tf.TensorSpec([CROP_DRAWS], tf.float32))
    draws = _draws(3)

    def crop(image, draw):
        shape = tf.shape(image)
        return crop_and_resize(image, draw_boxes(draw[tf.newaxis], shape[0], shape[1])[0], (7, 9))

    crops = tf.data.Dataset.from_generator(lambda: zip(images, draws, strict=True), output_signature=signature).map(
        crop
    )
    assert crops.element_spec.shape == (7, 9, 3)
    for image, draw, out in zip(images, draws, crops, strict=True):
        np.testing.assert_array_equal(out, crop(tf.constant(image), draw))


def test_each_image_has_its_own_box():
    images = tf.constant(np.random.default_rng(1).random((3, 16, 18, 3)), tf.float32)
    boxes = tf.constant([[0, 0, 16, 18], [3, 4, 5, 6], [8.5, 2.25, 7.0, 9.5]], tf.float32)
    together = random_resized_crop(images, boxes, (7, 9))
    for i in range(3):
        alone = random_resized_crop(images[i : i + 1], boxes[i : i + 1], (7, 9))
        # The same products in another batch: blocking of a matrix product may change the last bit.
        np.testing.assert_allclose(together[i : i + 1], alone, rtol=0, atol=1e-6)
    np.testing.assert_allclose(random_resized_crop(images, boxes, (16, 18))[0], images[0], rtol=0, atol=1e-6)


def test_nothing_outside_the_box_leaks_in():
    image = np.zeros([1, 20, 20, 1], np.float32)
    image[:, 5:15, 5:15] = 0.5
    inside = random_resized_crop(tf.constant(image), [[5, 5, 10, 10]], (6, 17))
    np.testing.assert_allclose(inside, np.full([1, 6, 17, 1], 0.5), rtol=0, atol=1e-6)


def test_xla_gives_the_same_crops():
    images = tf.constant(np.random.default_rng(2).random((2, 12, 12, 3)), tf.float32)
    boxes = tf.constant([[1, 2, 9, 7], [0, 0, 12, 12]])
    compiled = tf.function(random_resized_crop, jit_compile=True)(images, boxes, (8, 8))
    # Another order of the same float32 sums.
    np.testing.assert_allclose(compiled, random_resized_crop(images, boxes, (8, 8)), rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    "call",
    [
        lambda: draw_boxes(tf.zeros([2, CROP_DRAWS - 1]), 10, 10),
        lambda: draw_boxes(tf.zeros([2, CROP_DRAWS]), 10, 10, area=(0.5, 0.2)),
        lambda: draw_boxes(tf.zeros([2, CROP_DRAWS]), 10, 10, aspect=(0.0, 1.0)),
        lambda: random_resized_crop(tf.zeros([1, 4, 4, 3], tf.uint8), [[0, 0, 4, 4]], (2, 2)),
    ],
)
def test_wrong_arguments_raise(call):
    with pytest.raises(ValueError, match="Invalid .*: received .*, expected"):
        call()


def test_bilinear_is_pillows():
    from PIL import Image

    r = np.random.default_rng(4)
    image = r.integers(0, 256, (29, 37, 3), np.uint8)
    for box, size in (((3, 5, 20, 26), (12, 12)), ((0, 0, 29, 37), (40, 33)), ((10, 2, 7, 30), (16, 16))):
        top, left, height, width = box
        cut = Image.fromarray(image).crop((left, top, left + width, top + height))
        expected = np.asarray(cut.resize(size[::-1], Image.Resampling.BILINEAR), np.float32)
        on_host = crop_and_resize(tf.constant(image), tf.constant(box), size, interpolation="bilinear").numpy()
        floats = tf.constant(image[None] / np.float32(255))
        on_device = random_resized_crop(floats, tf.constant([box]), size, interpolation="bilinear")[0].numpy() * 255
        # Pillow rounds to a whole number after each of the two axes.
        assert np.abs(on_host - expected).max() <= 1
        assert np.abs(on_device - expected).max() <= 1.01
