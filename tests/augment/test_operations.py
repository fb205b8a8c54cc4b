"""The drawn decisions: probabilities, ranges, order, and the slots around the hue."""

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.augment.draws import VIEW_A, VIEW_B, example_seeds, uniforms
from barlowtf.augment.operations import (
    BRIGHTNESS,
    CONTRAST,
    HUE,
    SATURATION,
    VIEW_DRAWS,
    Operations,
    blend_slots,
    draw_operations,
)
from barlowtf.config.schema import Augment, View

COUNT = 10_000


def _draw(settings, view, stream=VIEW_A, count=COUNT):
    seeds = example_seeds(5, 0, tf.range(count, dtype=tf.int64))
    return Operations(
        *(value.numpy() for value in draw_operations(uniforms(seeds, stream, VIEW_DRAWS), settings, view))
    )


@pytest.mark.parametrize("name", ["view_a", "view_b"])
def test_each_probability_is_met(name):
    view = getattr(Augment(), name)
    drawn = _draw(Augment(), view, VIEW_A if name == "view_a" else VIEW_B)
    for operation in ("flip", "jitter", "grayscale", "blur", "solarize"):
        probability = getattr(view, operation)
        # A mean of 10,000 yes or no; four standard deviations, and exact for probability 0 and 1.
        deviation = np.sqrt(probability * (1 - probability) / COUNT)
        assert abs(getattr(drawn, operation).mean() - probability) <= 4 * deviation, operation


def test_decisions_are_independent():
    half = View(flip=0.5, jitter=0.5, grayscale=0.5, blur=0.5, solarize=0.5)
    first, second = _draw(Augment(), half, VIEW_A), _draw(Augment(), half, VIEW_B)
    columns = [getattr(drawn, name) for drawn in (first, second) for name in half.model_fields_set]
    columns += [*first.factors.T, first.sigma, *first.order.T[:3], *second.factors.T, second.sigma]
    correlation = np.corrcoef(np.array(columns, np.float64)) - np.eye(len(columns))
    places = slice(15, 18)  # The places of one order exclude each other.
    correlation[places, places] = 0.0
    # Standard deviation 1 / sqrt(10,000) each; five of them for the largest of 250.
    assert np.abs(correlation).max() < 5 / np.sqrt(COUNT)


def test_probabilities_zero_and_one_hold_at_the_ends_of_the_draws():
    ends = tf.constant([[0.0] * VIEW_DRAWS, [1 - 2.0**-24] * VIEW_DRAWS])
    for probability in (0.0, 1.0):
        names = ("flip", "jitter", "grayscale", "blur", "solarize")
        drawn = draw_operations(ends, Augment(), View(**dict.fromkeys(names, probability)))
        for name in names:
            np.testing.assert_array_equal(getattr(drawn, name), [bool(probability)] * 2)


def test_strengths_fill_their_ranges():
    settings = Augment(brightness=0.4, contrast=1.5, saturation=0.2, hue=0.1, blur_sigma=(0.1, 2.0))
    drawn = _draw(settings, settings.view_a)
    values = [*drawn.factors.T, drawn.sigma]
    for value, low, high in zip(values, [0.6, 0.0, 0.8, -0.1, 0.1], [1.4, 2.5, 1.2, 0.1, 2.0], strict=True):
        unit = (value - low) / (high - low)
        assert unit.min() >= -1e-6 and unit.max() <= 1 + 1e-6  # float32's rounding of the ends.
        # Kolmogorov-Smirnov: 2 / sqrt(n) has probability 0.0007.
        assert np.abs(np.sort(unit) - (np.arange(COUNT) + 0.5) / COUNT).max() < 2 / np.sqrt(COUNT)


def test_all_24_orders_are_equally_likely():
    order = _draw(Augment(), View()).order
    np.testing.assert_array_equal(np.sort(order, axis=1), np.tile(np.arange(4), (COUNT, 1)))
    counts = np.bincount(order @ [64, 16, 4, 1])
    counts = counts[counts > 0]
    assert len(counts) == 24
    # Each count is binomial with p = 1 / 24; five standard deviations for the largest of 24.
    assert np.abs(counts - COUNT / 24).max() < 5 * np.sqrt(COUNT / 24 * 23 / 24)


def test_slots_keep_the_order_around_the_hue():
    orders = [[HUE, 0, 1, 2], [2, HUE, 0, 1], [1, 0, HUE, 2], [0, 2, 1, HUE], [0, 2, 1, HUE]]
    factors = tf.tile([[1.2, 0.7, 0.9, 0.05]], [5, 1])
    nothing = tf.zeros([5], tf.bool)
    jitter = tf.constant([True, True, True, True, False])
    slots = blend_slots(
        Operations(nothing, jitter, nothing, nothing, nothing, tf.ones([5]), factors, tf.constant(orders))
    )
    numbers = np.array([number for number, _ in slots]).T
    strengths = np.array([factor for _, factor in slots]).T
    expected = np.float32([1.2, 0.7, 0.9])
    for row in range(4):
        before = orders[row].index(HUE)
        filled = strengths[row] != 1.0
        sides = [numbers[row, :3][filled[:3]].tolist(), numbers[row, 3:][filled[3:]].tolist()]
        assert sides == [orders[row][:before], orders[row][before + 1 :]]
        np.testing.assert_array_equal(strengths[row][filled], expected[numbers[row][filled]])
    np.testing.assert_array_equal(strengths[4], np.ones(6))
    assert (BRIGHTNESS, CONTRAST, SATURATION, HUE) == (0, 1, 2, 3)  # Order of the factors' columns.


def test_another_number_of_draws_raises():
    with pytest.raises(ValueError, match="Received .* Expected"):
        draw_operations(tf.zeros([2, VIEW_DRAWS + 1]), Augment(), View())
