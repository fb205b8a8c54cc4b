"""Vertical flips and quarter turns against NumPy, what is drawn, and what must not change."""

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.augment import VIEW_A, VIEW_B, TwoViews, example_seeds, flip_vertically, turn, uniforms
from barlowtf.augment.affine import PLACEMENT_DRAWS
from barlowtf.augment.operations import VIEW_DRAWS, draw_operations
from barlowtf.augment.orientation import ORIENTATION_DRAWS, draw_orientation
from barlowtf.config.schema import Augment, View

COUNT = 10_000
OFF = View(flip=0.0, jitter=0.0, grayscale=0.0, blur=0.0, solarize=0.0)
START = VIEW_DRAWS + PLACEMENT_DRAWS


def _images(shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def _numbers(seeds, stream):
    return uniforms(seeds, stream, START + ORIENTATION_DRAWS)[:, START:]


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_turns_and_flips_equal_numpy_bit_for_bit(channels):
    images = _images([8, 7, 7, channels])
    quarters = np.arange(8) % 4
    expected = [np.rot90(image, k) for image, k in zip(images, quarters, strict=True)]
    np.testing.assert_array_equal(turn(images, quarters), expected)
    np.testing.assert_array_equal(turn(images, 3), [np.rot90(image, 3) for image in images])
    np.testing.assert_array_equal(flip_vertically(images), images[:, ::-1])


def test_each_probability_is_met_and_the_four_turns_are_equally_likely():
    seeds = example_seeds(5, 0, tf.range(COUNT, dtype=tf.int64))
    columns = []
    for stream in (VIEW_A, VIEW_B):
        drawn = draw_orientation(_numbers(seeds, stream), View(vertical_flip=0.3, turn=0.6))
        flips, quarters = drawn.vertical_flip.numpy(), drawn.quarters.numpy()
        columns += [flips, *(quarters == k for k in (1, 2))]
        # A mean of 10,000 yes or no; four standard deviations.
        for share, expected in [(flips, 0.3), *((quarters == k, 0.15) for k in (1, 2, 3)), (quarters == 0, 0.55)]:
            assert abs(share.mean() - expected) <= 4 * np.sqrt(expected * (1 - expected) / COUNT)
        always = draw_orientation(_numbers(seeds, stream), View(turn=1.0)).quarters.numpy()
        assert np.abs(np.bincount(always, minlength=4) / COUNT - 0.25).max() <= 4 * np.sqrt(0.1875 / COUNT)
    correlation = np.corrcoef(np.array(columns, np.float64)) - np.eye(6)
    correlation[1, 2] = correlation[2, 1] = correlation[4, 5] = correlation[5, 4] = 0.0  # One turn excludes the other.
    # Standard deviation 1 / sqrt(10,000) each; four of them for the largest of 13.
    assert np.abs(correlation).max() < 4 / np.sqrt(COUNT)


def test_probabilities_zero_and_one_hold_at_the_ends_of_the_draws():
    ends = tf.constant([[0.0] * ORIENTATION_DRAWS, [1 - 2.0**-24] * ORIENTATION_DRAWS])
    for probability in (0.0, 1.0):
        drawn = draw_orientation(ends, View(vertical_flip=probability, turn=probability))
        np.testing.assert_array_equal(drawn.vertical_flip, [bool(probability)] * 2)
        np.testing.assert_array_equal(drawn.quarters, [0, 3 if probability else 0])


def _layer(view, size=9, **changes):
    settings = Augment(**{"size": size, "mean": (0.0,), "std": (1.0,), "view_a": view, "view_b": OFF, **changes})
    return TwoViews(settings, 3)


def _inputs(count, size=9):
    crops = np.random.default_rng(1).integers(0, 256, (count, size, size, 3)).astype(np.uint8)
    return tf.constant(crops), tf.constant(crops), example_seeds(3, 1, tf.range(count, dtype=tf.int64))


def test_layer_shows_all_eight_orientations_and_changes_no_bit_of_a_pixel():
    view = OFF.model_copy(update={"flip": 0.5, "vertical_flip": 0.5, "turn": 1.0})
    crops, _, seeds = inputs = _inputs(200)
    views, untouched = _layer(view)(inputs)
    pixels = crops.numpy().astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(untouched, pixels)
    mirrored = draw_operations(uniforms(seeds, VIEW_A, VIEW_DRAWS), Augment(), view).flip.numpy()
    drawn = draw_orientation(_numbers(seeds, VIEW_A), view)
    for i in range(200):
        image = pixels[i, :, ::-1] if mirrored[i] else pixels[i]
        image = image[::-1] if drawn.vertical_flip[i] else image
        np.testing.assert_array_equal(views[i], np.rot90(image, drawn.quarters[i]))
    asymmetric = np.zeros([9, 9, 3], np.uint8)
    asymmetric[0, 1] = 255
    crops = tf.constant(np.tile(asymmetric, (200, 1, 1, 1)))
    shown, counts = np.unique(
        _layer(view)((crops, crops, seeds))[0].numpy().reshape(200, -1), axis=0, return_counts=True
    )
    # 200 draws among eight: 25 each, standard deviation 4.7.
    assert len(shown) == 8 and counts.min() > 6


def test_orientation_changes_no_other_draw_and_none_is_not_in_the_graph():
    inputs = _inputs(64)
    jitter = OFF.model_copy(update={"jitter": 1.0})
    turned = jitter.model_copy(update={"vertical_flip": 0.5, "turn": 0.5})
    plain, other = _layer(jitter, rotation=10.0)(inputs)[0], _layer(turned, rotation=10.0)(inputs)[0]
    drawn = draw_orientation(_numbers(inputs[2], VIEW_A), turned)
    same = ~drawn.vertical_flip.numpy() & (drawn.quarters.numpy() == 0)
    assert 5 < same.sum() < 50
    np.testing.assert_array_equal(plain.numpy()[same], other.numpy()[same])

    def operations(view):
        layer = _layer(view)
        image, seed = tf.TensorSpec([4, 9, 9, 3], tf.uint8), tf.TensorSpec([4, 2], tf.int32)
        graph = tf.function(lambda a, b, seeds: layer((a, b, seeds))).get_concrete_function(image, image, seed).graph
        return [operation.type for operation in graph.get_operations()]

    assert "ReverseV2" in operations(turned) and "ReverseV2" not in operations(jitter)


def test_arguments_that_do_not_fit_raise():
    with pytest.raises(ValueError, match="Invalid images: received 6 x 7 pixels, expected squares"):
        turn(_images([1, 6, 7, 3]), 1)
    with pytest.raises(ValueError, match=r"Invalid uniforms: received shape \(2, 5\), expected \[n, 3\]"):
        draw_orientation(tf.zeros([2, 5]), View())
