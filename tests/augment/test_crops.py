"""Crops of one image and of images of one size: the draws of each view, the mirror image, both ways alike."""

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.augment import (
    CROP_A,
    CROP_B,
    CROP_DRAWS,
    CropPlan,
    crop_and_resize,
    crop_image,
    crop_images,
    draw_boxes,
    draw_crops,
    example_seeds,
    uniforms,
)

COUNT = 400


def seeds(count=COUNT):
    return example_seeds(2, 0, tf.range(count, dtype=tf.int64))


def noise(count):
    return tf.constant(np.random.default_rng(0).integers(0, 256, (count, 20, 17, 3), np.uint8))


def test_each_view_draws_from_its_own_stream():
    draws = draw_crops(seeds(), (CROP_A, CROP_B), CropPlan((8, 8)))
    assert draws.shape == (COUNT, 2, CROP_DRAWS)
    for view, stream in enumerate((CROP_A, CROP_B)):
        np.testing.assert_array_equal(draws[:, view], uniforms(seeds(), stream, CROP_DRAWS))
    # The number that decides about the mirror image comes behind those of the box and does not change them.
    flipped = draw_crops(seeds(), (CROP_A, CROP_B), CropPlan((8, 8), flip=0.5))
    assert flipped.shape == (COUNT, 2, CROP_DRAWS + 1)
    np.testing.assert_array_equal(flipped[..., :-1], draws)


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_a_crop_is_the_box_of_its_draws_resized(interpolation):
    plan = CropPlan((9, 7), area=(0.1, 0.6), aspect=(0.5, 1.5), interpolation=interpolation)
    draws, image = draw_crops(seeds(3), (CROP_A, CROP_B), plan), noise(1)[0]
    for row in draws:
        boxes = draw_boxes(row, 20, 17, plan.area, plan.aspect)
        for crop, box in zip(crop_image(image, row, plan), boxes, strict=True):
            assert crop.dtype == tf.uint8 and crop.shape == (9, 7, 3)
            np.testing.assert_array_equal(crop, crop_and_resize(image, box, (9, 7), interpolation=interpolation))


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("flip", [0.0, 0.5])
def test_one_by_one_and_together_give_the_same_crops(interpolation, flip):
    plan = CropPlan((9, 7), area=(0.1, 1.0), interpolation=interpolation, flip=flip)
    draws, images = draw_crops(seeds(12), (CROP_A, CROP_B), plan), noise(12)
    together = crop_images(images, draws, plan)
    for place in range(12):
        for view, crop in enumerate(crop_image(images[place], draws[place], plan)):
            # Sums in another order, rounded to whole steps.
            np.testing.assert_allclose(together[view][place].numpy().astype(int), crop.numpy().astype(int), atol=1)


def test_a_mirror_image_has_its_probability():
    plain, plan = CropPlan((6, 6)), CropPlan((6, 6), flip=0.3)
    draws, images = draw_crops(seeds(), [CROP_A], plan), noise(COUNT)
    (crops,), (mirrored,) = crop_images(images, draws[..., :-1], plain), crop_images(images, draws, plan)
    chosen = draws[:, 0, -1].numpy() < 0.3
    np.testing.assert_array_equal(mirrored[~chosen], crops.numpy()[~chosen])
    np.testing.assert_array_equal(mirrored[chosen], crops.numpy()[chosen][:, :, ::-1])
    # 400 draws of probability 0.3: standard deviation 0.023; 4 of them.
    assert abs(chosen.mean() - 0.3) < 4 * 0.023


def positions(count):
    """Images whose two channels say where a pixel lies: row and column."""
    rows, columns = np.mgrid[:60, :50].astype(np.uint8)
    image = np.stack([rows, columns], axis=-1)
    return tf.constant(np.repeat(image[np.newaxis], count, axis=0))


def test_all_views_of_an_example_are_cut_from_one_window():
    # Boxes of the whole window, resized to its own size, are the window itself.
    plan = CropPlan((16, 16), area=(1.0, 1.0), aspect=(1.0, 1.0), window=16)
    draws, images = draw_crops(seeds(), (CROP_A, CROP_B), plan), positions(COUNT)
    crops_a, crops_b = crop_images(images, draws, plan)
    np.testing.assert_array_equal(crops_a, crops_b)
    tops, lefts = crops_a.numpy()[:, 0, 0].T.astype(int)
    np.testing.assert_array_equal(crops_a.numpy()[0], images.numpy()[0, tops[0] :, lefts[0] :][:16, :16])
    # Every place is as likely: 4 standard deviations of the mean of a uniform number; and both ends are reached.
    for values, slack in ((tops, 44), (lefts, 34)):
        assert abs(values.mean() - slack / 2) < 4 * slack / np.sqrt(12 * COUNT)
        assert values.min() <= 1 and values.max() >= slack - 1


def test_a_window_confines_crops_and_changes_no_other_draw():
    confined = CropPlan((8, 8), area=(0.2, 0.9), flip=0.5, window=20)
    free = CropPlan((8, 8), area=(0.2, 0.9), flip=0.5)
    draws, images = draw_crops(seeds(), (CROP_A, CROP_B), confined), positions(COUNT)
    np.testing.assert_array_equal(draws[..., :-2], draw_crops(seeds(), (CROP_A, CROP_B), free))
    both = np.concatenate([crop.numpy() for crop in crop_images(images, draws, confined)], axis=2).astype(int)
    for channel in range(2):
        reach = both[..., channel].max(axis=(1, 2)) - both[..., channel].min(axis=(1, 2))
        assert reach.max() <= 20
    one_by_one = [crop_image(image, row, confined) for image, row in zip(images[:20], draws[:20], strict=True)]
    for view, crops in enumerate(crop_images(images[:20], draws[:20], confined)):
        alone = np.stack([crops_of[view] for crops_of in one_by_one]).astype(int)
        assert np.abs(alone - crops.numpy()).max() <= 1  # Sums in another order.


def test_a_window_larger_than_the_image_is_the_image():
    plan, free = CropPlan((8, 8), window=70), CropPlan((8, 8))
    images = noise(4)
    with_window = crop_images(images, draw_crops(seeds(4), (CROP_A, CROP_B), plan), plan)
    without = crop_images(images, draw_crops(seeds(4), (CROP_A, CROP_B), free), free)
    for first, second in zip(with_window, without, strict=True):
        np.testing.assert_array_equal(first, second)
