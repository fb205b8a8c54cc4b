"""Rotation, slant and shift against a NumPy oracle, SciPy's resampling, what is drawn, and what must not change."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from barlowtf.augment import VIEW_A, VIEW_B, TwoViews, affine, example_seeds, uniforms
from barlowtf.augment.affine import PLACEMENT_DRAWS, draw_placement
from barlowtf.augment.operations import VIEW_DRAWS
from barlowtf.config.schema import Augment, View

COUNT = 10_000
OFF = View(flip=0.0, jitter=0.0, grayscale=0.0, blur=0.0, solarize=0.0)
MOVEMENTS = [(0.0, 0.0, (0.0, 0.0)), (17.0, 0.0, (0.0, 0.0)), (0.0, 0.3, (0.0, 0.0)), (-40.0, -0.2, (0.11, -0.23))]


def _images(shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def _forward(angle, slant):
    """Matrix that takes (row, column) from the center to where they go: the slant first, then the rotation."""
    turn = np.deg2rad(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return rotation @ np.array([[1.0, 0.0], [-slant, 1.0]])


def _oracle(image, angle, slant, shift):
    """One pixel after the other, float64 [H, W, C]; the nearest four pixels, black where there is none."""
    height, width, _ = image.shape
    center = np.array([(height - 1) / 2, (width - 1) / 2])
    backward = np.linalg.inv(_forward(angle, slant))
    result = np.zeros_like(image)
    for r, c in np.ndindex(height, width):
        row, column = backward @ (np.array([r, c]) - center - np.array(shift) * [height, width]) + center
        for i in (int(np.floor(row)), int(np.floor(row)) + 1):
            for j in (int(np.floor(column)), int(np.floor(column)) + 1):
                if 0 <= i < height and 0 <= j < width:
                    result[r, c] += (1 - abs(row - i)) * (1 - abs(column - j)) * image[i, j]
    return result


@pytest.mark.parametrize("shape", [(9, 14, 3), (16, 16, 1)])
@pytest.mark.parametrize("movement", MOVEMENTS)
def test_affine_follows_the_oracle_and_scipy(shape, movement):
    angle, slant, shift = movement
    image = _images(shape).astype(np.float64)
    moved = affine(image[np.newaxis].astype(np.float32), angle, slant, shift)[0]
    # Positions up to 16 in float32 are off by 1e-6, and neighbors differ by up to 1.
    np.testing.assert_allclose(moved, _oracle(image, angle, slant, shift), rtol=0, atol=1e-5)
    backward = np.linalg.inv(_forward(angle, slant))
    center = (np.array(shape[:2]) - 1) / 2
    offset = center - backward @ (center + np.array(shift) * shape[:2])
    for channel in range(shape[2]):
        expected = ndimage.affine_transform(image[..., channel], backward, offset, order=1, mode="grid-constant")
        np.testing.assert_allclose(moved[..., channel], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(9, 14, 3), (16, 16, 1)])
@pytest.mark.parametrize("movement", [*MOVEMENTS, (160.0, 0.5, (1.4, -2.3))])
def test_a_reflecting_border_follows_scipy(shape, movement):
    angle, slant, shift = movement
    image = _images(shape).astype(np.float64)
    moved = affine(image[np.newaxis].astype(np.float32), angle, slant, shift, border="reflect")[0]
    backward = np.linalg.inv(_forward(angle, slant))
    center = (np.array(shape[:2]) - 1) / 2
    offset = center - backward @ (center + np.array(shift) * shape[:2])
    for channel in range(shape[2]):
        expected = ndimage.affine_transform(image[..., channel], backward, offset, order=1, mode="reflect")
        # Positions up to 60 in float32.
        np.testing.assert_allclose(moved[..., channel], expected, rtol=0, atol=3e-5)


def test_a_reflecting_border_of_a_tilted_square_brings_no_black():
    bright = 0.5 + 0.5 * _images([1, 12, 12, 3])
    assert affine(bright, 30.0, 0.2, (0.2, 0.1), border="reflect").numpy().min() > 0.49
    assert affine(bright, 30.0, 0.2, (0.2, 0.1)).numpy().min() == 0.0
    np.testing.assert_array_equal(affine(bright, border="reflect"), bright)


def test_directions():
    image = np.zeros([1, 5, 5, 1], np.float32)
    image[0, 2, 4, 0] = 1.0  # Right of the center.
    # Counterclockwise: to the top. Sine and cosine of 90 degrees are exact to float32's rounding.
    assert affine(image, angle=90.0).numpy()[0, 0, 2, 0] == pytest.approx(1.0, abs=1e-6)
    assert affine(image, shift=(0.2, -0.4)).numpy()[0, 3, 2, 0] == pytest.approx(1.0, abs=1e-6)
    top = tf.reverse(tf.transpose(image, [0, 2, 1, 3]), axis=[1])
    assert affine(top, slant=1.0).numpy()[0, 0, 4, 0] == pytest.approx(1.0, abs=1e-6)


def test_each_example_has_its_own_movement_and_one_of_zero_changes_no_bit():
    images = _images([3, 8, 8, 2])
    angle, slant, shift = [0.0, 10.0, 0.0], [0.0, 0.0, 0.2], [[0.0, 0.0], [0.1, 0.0], [0.0, 0.0]]
    moved = affine(images, angle, slant, shift)
    np.testing.assert_array_equal(moved[0], images[0])
    for i in (1, 2):
        np.testing.assert_array_equal(moved[i], affine(images[i : i + 1], angle[i], slant[i], shift[i])[0])
        assert np.abs(moved[i] - images[i]).max() > 0.1


def test_what_leaves_the_image_is_gone_and_the_range_stays():
    ones = np.ones([1, 6, 6, 1], np.float32)
    assert np.all(affine(ones, shift=(2.0, 0.0)) == 0.0)
    assert np.all(affine(ones, shift=(-50.0, 50.0)) == 0.0)
    moved = affine(_images([4, 12, 12, 3]), angle=[3.0, 30.0, 90.0, 180.0]).numpy()
    assert moved.min() >= 0 and moved.max() <= 1 + 2e-7  # Weights sum to 1 up to float32's rounding.


def test_xla_gives_the_same():
    images = _images([4, 10, 13, 3])
    arguments = (tf.constant(images), tf.constant([3.0, -20.0, 45.0, 0.0]), tf.constant([0.1, 0.0, -0.2, 0.0]))
    compiled = tf.function(affine, jit_compile=True)(*arguments)
    # Fused multiply-add in positions up to 13.
    np.testing.assert_allclose(compiled, affine(*arguments), rtol=0, atol=2e-5)


def test_movements_are_uniform_between_minus_and_plus_the_strength():
    settings = Augment(rotation=15.0, slant=0.2, shift=0.1)
    seeds = example_seeds(5, 0, tf.range(COUNT, dtype=tf.int64))
    drawn = []
    for stream in (VIEW_A, VIEW_B):
        placement = draw_placement(uniforms(seeds, stream, VIEW_DRAWS + PLACEMENT_DRAWS)[:, VIEW_DRAWS:], settings)
        drawn += [placement.angle / 15.0, placement.slant / 0.2, *tf.unstack(placement.shift / 0.1, axis=1)]
    drawn = np.array(drawn, np.float64)
    assert drawn.min() >= -1 - 1e-6 and drawn.max() <= 1 + 1e-6
    for quarter in (-0.5, 0.0, 0.5):
        share = (quarter + 1) / 2
        # A mean of 10,000 yes or no; four standard deviations, for each of eight columns.
        deviation = np.sqrt(share * (1 - share) / COUNT)
        assert np.abs((drawn < quarter).mean(axis=1) - share).max() <= 4 * deviation
    # Standard deviation 1 / sqrt(10,000) each; four of them for the largest of 28.
    assert np.abs(np.corrcoef(drawn) - np.eye(8)).max() < 4 / np.sqrt(COUNT)


def _views(settings, count=16):
    crops = tf.constant(np.random.default_rng(1).integers(0, 256, (count, 12, 12, 3)).astype(np.uint8))
    seeds = example_seeds(3, 1, tf.range(count, dtype=tf.int64))
    return crops, seeds, TwoViews(settings, 3)((crops, crops, seeds))


def _settings(**changes):
    return Augment(**{"size": 12, "mean": (0.0,), "std": (1.0,), "view_a": OFF, "view_b": OFF, **changes})


def test_layer_moves_both_views_by_the_numbers_behind_those_of_the_operations():
    settings = _settings(rotation=20.0, slant=0.1, shift=0.1)
    crops, seeds, views = _views(settings)
    images = tf.cast(crops, tf.float32) / 255.0
    for stream, view in zip((VIEW_A, VIEW_B), views, strict=True):
        placement = draw_placement(uniforms(seeds, stream, VIEW_DRAWS + PLACEMENT_DRAWS)[:, VIEW_DRAWS:], settings)
        # Contractions of the compiler in positions up to 12.
        np.testing.assert_allclose(view, affine(images, *placement), rtol=0, atol=1e-5)
    assert np.abs(views[0] - views[1]).max() > 0.1
    np.testing.assert_array_equal(views[0], _views(settings)[2][0])
    reflected = _views(settings.model_copy(update={"border": "reflect"}))[2][1]
    np.testing.assert_allclose(reflected, affine(images, *placement, border="reflect"), rtol=0, atol=1e-5)


def test_movement_changes_no_other_draw_and_none_is_not_in_the_graph():
    jitter = OFF.model_copy(update={"jitter": 1.0})
    still = _settings(view_a=jitter)
    # A turn too small to see: every other decision must be the same.
    barely = _views(_settings(view_a=jitter, rotation=1e-6))[2][0]
    np.testing.assert_allclose(barely, _views(still)[2][0], rtol=0, atol=1e-5)

    def operations(settings):
        layer = TwoViews(settings, 3)
        image, seed = tf.TensorSpec([4, 12, 12, 3], tf.uint8), tf.TensorSpec([4, 2], tf.int32)
        graph = tf.function(lambda a, b, seeds: layer((a, b, seeds))).get_concrete_function(image, image, seed).graph
        return [operation.type for operation in graph.get_operations()]

    assert "Cos" in operations(_settings(rotation=1.0)) and "Cos" not in operations(still)


def test_numbers_that_do_not_fit_raise():
    with pytest.raises(ValueError, match=r"Received shape \(2, 5\). Expected \[n, 4\]"):
        draw_placement(tf.zeros([2, 5]), Augment())
    with pytest.raises(ValueError, match="Invalid border: received 'white', expected one of black, reflect"):
        affine(_images([1, 4, 4, 3]), border="white")
