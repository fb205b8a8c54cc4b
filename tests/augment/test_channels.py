"""Gain, offset and loss of single channels against NumPy, what is drawn, and what must not change."""

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.augment import VIEW_A, VIEW_B, TwoViews, adjust_channels, drop_channel, example_seeds, uniforms
from barlowtf.augment.affine import PLACEMENT_DRAWS
from barlowtf.augment.channels import channel_draws, draw_channels
from barlowtf.augment.operations import VIEW_DRAWS
from barlowtf.augment.orientation import ORIENTATION_DRAWS
from barlowtf.config import load_recipe
from barlowtf.config.schema import Augment, View
from barlowtf.errors import ConfigError

COUNT = 10_000
OFF = View(flip=0.0, jitter=0.0, grayscale=0.0, blur=0.0, solarize=0.0)
START = VIEW_DRAWS + PLACEMENT_DRAWS + ORIENTATION_DRAWS


def _images(shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def _numbers(seeds, stream, channels):
    return uniforms(seeds, stream, START + channel_draws(channels))[:, START:]


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_gain_and_offset_equal_numpy(channels):
    images = _images([4, 5, 6, channels])
    gain, offset = _images([4, channels], 1) * 2, _images([4, channels], 2) - 0.5
    expected = np.clip(images.astype("f8") * gain[:, None, None] + offset[:, None, None], 0, 1)
    # One product and one sum in float32, of numbers up to 2.
    np.testing.assert_allclose(adjust_channels(images, gain, offset), expected, rtol=0, atol=3e-7)
    ones, zeros = np.ones([channels], np.float32), np.zeros([channels], np.float32)
    np.testing.assert_array_equal(adjust_channels(images, ones, zeros), images)


def test_a_lost_channel_has_one_value_and_the_others_keep_every_bit():
    images = _images([4, 5, 6, 3])
    dropped = drop_channel(images, [0, -1, 2, 1], [0.1, 0.2, 0.3]).numpy()
    expected = images.copy()
    for row, channel, value in ((0, 0, 0.1), (2, 2, 0.3), (3, 1, 0.2)):
        expected[row, ..., channel] = np.float32(value)
    np.testing.assert_array_equal(dropped, expected)
    np.testing.assert_array_equal(drop_channel(images, 1, [0.5])[..., 1], np.full([4, 5, 6], 0.5))


@pytest.mark.parametrize("channels", [2, 5])
def test_strengths_fill_their_ranges_and_probabilities_are_met(channels):
    settings, view = Augment(gain=0.3, offset=0.1), View(channel_drop=0.4)
    seeds = example_seeds(5, 0, tf.range(COUNT, dtype=tf.int64))
    columns = []
    for stream in (VIEW_A, VIEW_B):
        drawn = draw_channels(_numbers(seeds, stream, channels), settings, view)
        columns += [*drawn.gain.numpy().T, *drawn.offset.numpy().T, drawn.dropped.numpy() >= 0]
        for value, low, high in ((drawn.gain, 0.7, 1.3), (drawn.offset, -0.1, 0.1)):
            unit = (value.numpy().astype("f8") - low) / (high - low)
            assert unit.min() >= -1e-6 and unit.max() <= 1 + 1e-6  # float32's rounding of the ends.
            for share in (0.25, 0.5, 0.75):
                # A mean of 10,000 yes or no for each channel; four standard deviations.
                deviation = np.sqrt(share * (1 - share) / COUNT)
                assert np.abs((unit < share).mean(axis=0) - share).max() <= 4 * deviation
        lost = np.bincount(drawn.dropped.numpy() + 1, minlength=channels + 1) / COUNT
        expected = np.array([0.6, *[0.4 / channels] * channels])
        assert np.all(np.abs(lost - expected) <= 4 * np.sqrt(expected * (1 - expected) / COUNT))
    # Standard deviation 1 / sqrt(10,000) each; five of them for the largest of up to 231.
    assert np.abs(np.corrcoef(np.array(columns, np.float64)) - np.eye(len(columns))).max() < 5 / np.sqrt(COUNT)


def test_numbers_of_a_channel_do_not_depend_on_how_many_there_are():
    seeds = example_seeds(5, 0, tf.range(50, dtype=tf.int64))
    settings, view = Augment(gain=0.3, offset=0.1), View()
    few, many = (draw_channels(_numbers(seeds, VIEW_A, count), settings, view) for count in (2, 7))
    np.testing.assert_array_equal(few.gain, many.gain[:, :2])
    np.testing.assert_array_equal(few.offset, many.offset[:, :2])


def _layer(view, channels, **changes):
    settings = Augment(**{"size": 8, "mean": (0.0,), "std": (1.0,), "view_a": view, "view_b": OFF, **changes})
    return TwoViews(settings, channels)


def _inputs(count, channels):
    crops = tf.constant(np.random.default_rng(1).integers(0, 256, (count, 8, 8, channels)).astype(np.uint8))
    return crops, crops, example_seeds(3, 1, tf.range(count, dtype=tf.int64))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_layer_changes_both_views_by_the_numbers_behind_the_others(channels):
    crops, _, seeds = inputs = _inputs(20, channels)
    layer = _layer(OFF, channels, gain=0.3, offset=0.1)
    images = crops.numpy().astype(np.float32) / np.float32(255)
    for stream, view in zip((VIEW_A, VIEW_B), layer(inputs), strict=True):
        drawn = draw_channels(_numbers(seeds, stream, channels), layer.settings, OFF)
        # Products and sums that a compiler may contract.
        np.testing.assert_allclose(view, adjust_channels(images, drawn.gain, drawn.offset), rtol=0, atol=3e-7)


def test_layer_sets_a_lost_channel_to_the_mean_whatever_came_before():
    view = OFF.model_copy(update={"channel_drop": 0.5, "blur": 1.0, "solarize": 1.0})
    crops, _, seeds = inputs = _inputs(40, 4)
    mean = (0.2, 0.6, 0.7, 0.4)
    layer = _layer(view, 4, mean=mean, std=(0.25,) * 4, gain=0.2)
    views = layer(inputs)[0].numpy()
    dropped = draw_channels(_numbers(seeds, VIEW_A, 4), layer.settings, view).dropped.numpy()
    assert set(dropped) == {-1, 0, 1, 2, 3}
    # (mean - mean) / 0.25 in float32.
    silent = np.abs(views).max(axis=(1, 2)) < 1e-6  # [n, C]
    np.testing.assert_array_equal(silent, dropped[:, None] == np.arange(4))
    kept = view.model_copy(update={"channel_drop": 0.0})
    plain = _layer(kept, 4, mean=mean, std=(0.25,) * 4, gain=0.2)(inputs)[0].numpy()
    np.testing.assert_array_equal(views[dropped == -1], plain[dropped == -1])


def test_channels_change_no_other_draw_and_none_is_not_in_the_graph():
    inputs = _inputs(32, 3)
    view = OFF.model_copy(update={"jitter": 1.0, "turn": 1.0})
    plain = _layer(view, 3)(inputs)[0]
    lost = view.model_copy(update={"channel_drop": 1e-7})  # Two of 2**24 numbers are below it.
    np.testing.assert_array_equal(_layer(lost, 3)(inputs)[0], plain)
    np.testing.assert_allclose(_layer(view, 3, gain=1e-7)(inputs)[0], plain, rtol=0, atol=1e-6)

    def blocks(view):
        layer = _layer(view, 3)
        image, seed = tf.TensorSpec([4, 8, 8, 3], tf.uint8), tf.TensorSpec([4, 2], tf.int32)
        graph = tf.function(lambda a, b, seeds: layer((a, b, seeds))).get_concrete_function(image, image, seed).graph
        return len(graph.get_operations())

    assert blocks(OFF) < blocks(lost.model_copy(update={"turn": 0.0, "jitter": 0.0}))


@pytest.mark.slow
def test_xla_gives_the_same():
    view = OFF.model_copy(update={"vertical_flip": 0.5, "turn": 1.0, "channel_drop": 0.5})
    inputs = _inputs(16, 5)
    layer = _layer(view, 5, gain=0.3, offset=0.1, rotation=20.0, border="reflect")
    compiled = tf.function(lambda *inputs: layer(inputs), jit_compile=True)(*inputs)
    for plain, fused in zip(layer(inputs), compiled, strict=True):
        # Fused multiply-add in positions up to 8.
        np.testing.assert_allclose(fused, plain, rtol=0, atol=2e-5)


def test_what_does_not_fit_raises():
    with pytest.raises(ValueError, match=r"Invalid uniforms: received shape \(2, 5\), expected \[n, 2 \+ 2 C\]"):
        draw_channels(tf.zeros([2, 5]), Augment(), View())
    with pytest.raises(ValueError, match="Invalid channel_drop: received more than 0, expected 0"):
        _layer(View(channel_drop=0.5), 1)
    with pytest.raises(ConfigError, match=r"augment\.view_b\.channel_drop: received 0\.5, expected 0 where data\.chan"):
        load_recipe("digits", ["augment.view_b.channel_drop=0.5"])
