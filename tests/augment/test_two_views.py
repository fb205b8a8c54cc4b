"""The whole layer against the public functions one example at a time, and what must not change an example."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf import augment
from barlowtf.augment import VIEW_A, VIEW_B, TwoViews, example_seeds, two_views, uniforms
from barlowtf.augment.operations import BRIGHTNESS, CONTRAST, HUE, SATURATION, VIEW_DRAWS, draw_operations
from barlowtf.config.schema import Augment, View

SIZE = 12
ADJUSTMENTS = {
    BRIGHTNESS: augment.adjust_brightness,
    CONTRAST: augment.adjust_contrast,
    SATURATION: augment.adjust_saturation,
    HUE: augment.adjust_hue,
}
OFF = View(flip=0.0, jitter=0.0, grayscale=0.0, blur=0.0, solarize=0.0)


def _inputs(count, channels=3):
    generator = np.random.default_rng(0)
    crops = [generator.integers(0, 256, (count, SIZE, SIZE, channels)).astype(np.uint8) for _ in range(2)]
    return tf.constant(crops[0]), tf.constant(crops[1]), example_seeds(3, 1, tf.range(count, dtype=tf.int64))


def _settings(channels=3, **changes):
    return Augment(**{"size": SIZE, "mean": (0.4,) * channels, "std": (0.25,) * channels, **changes})


def _without_normalization(view_a, view_b=OFF, **changes):
    return _settings(mean=(0.0,), std=(1.0,), view_a=view_a, view_b=view_b, **changes)


def _view_oracle(crops, seeds, stream, settings, view):
    """One example after the other, one operation after the other, in the drawn order."""
    drawn = draw_operations(uniforms(seeds, stream, VIEW_DRAWS), settings, view)
    views = []
    for i in range(crops.shape[0]):
        image = tf.constant(crops[i : i + 1].numpy().astype(np.float32) / 255)
        if drawn.flip[i]:
            image = augment.flip(image)
        if drawn.jitter[i]:
            for number in drawn.order[i].numpy():
                if number in (BRIGHTNESS, CONTRAST) or crops.shape[-1] == 3:
                    image = ADJUSTMENTS[number](image, drawn.factors[i, number])
        if drawn.grayscale[i] and crops.shape[-1] == 3:
            image = augment.grayscale(image)
        if drawn.blur[i]:
            image = augment.gaussian_blur(image, drawn.sigma[i])
        if drawn.solarize[i]:
            image = augment.solarize(image, settings.solarize_threshold)
        views.append(augment.normalize(image, settings.mean, settings.std))
    return np.concatenate(views)


@pytest.mark.parametrize("channels", [3, 1, 5])
def test_layer_does_the_operations_one_after_the_other(channels):
    settings = _settings(
        channels, view_a=View(blur=0.5, solarize=0.3), view_b=View(flip=0.3, jitter=1.0, grayscale=0.4, blur=0.0)
    )
    crops_a, crops_b, seeds = _inputs(40, channels)
    view_a, view_b = TwoViews(settings, channels)((crops_a, crops_b, seeds))
    # Rounding of up to eight operations, divided by the deviation 0.25: some 1e-5.
    tolerance = {"rtol": 0, "atol": 3e-5}
    np.testing.assert_allclose(view_a, _view_oracle(crops_a, seeds, VIEW_A, settings, settings.view_a), **tolerance)
    np.testing.assert_allclose(view_b, _view_oracle(crops_b, seeds, VIEW_B, settings, settings.view_b), **tolerance)


def test_an_example_does_not_depend_on_its_batch():
    crops_a, crops_b, seeds = _inputs(33)
    layer = TwoViews(_settings(), 3)
    whole = layer((crops_a, crops_b, seeds))
    for rows in ([7], [32, 7], list(range(32, -1, -1))):
        part = layer(tuple(tf.gather(value, rows) for value in (crops_a, crops_b, seeds)))
        for full, cut in zip(whole, part, strict=True):
            # The mean for contrast and the blur's products may be summed in another order: last bits, over 0.25.
            np.testing.assert_allclose(cut, tf.gather(full, rows), rtol=0, atol=5e-6)


@pytest.mark.parametrize("operation", ["flip", "jitter", "grayscale", "blur", "solarize"])
def test_examples_that_an_operation_leaves_out_keep_every_bit(operation):
    view = OFF.model_copy(update={operation: 0.5})
    settings = _without_normalization(view)
    crops_a, crops_b, seeds = _inputs(64)
    view_a, view_b = TwoViews(settings, 3)((crops_a, crops_b, seeds))
    chosen = getattr(draw_operations(uniforms(seeds, VIEW_A, VIEW_DRAWS), settings, view), operation).numpy()
    assert 0 < chosen.sum() < 64
    same = np.all(view_a.numpy() == crops_a.numpy().astype(np.float32) / np.float32(255), axis=(1, 2, 3))
    np.testing.assert_array_equal(same, ~chosen)
    np.testing.assert_array_equal(view_b, crops_b.numpy().astype(np.float32) / np.float32(255))


def test_strength_zero_changes_no_bit():
    view = OFF.model_copy(update={"jitter": 1.0})
    settings = _without_normalization(view, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
    crops_a, crops_b, seeds = _inputs(8)
    view_a, _ = TwoViews(settings, 3)((crops_a, crops_b, seeds))
    np.testing.assert_array_equal(view_a, crops_a.numpy().astype(np.float32) / np.float32(255))


def test_views_of_one_crop_differ_and_a_seed_repeats_them():
    crops, _, seeds = _inputs(16)
    layer = TwoViews(_settings(view_a=View(), view_b=View()), 3)
    first, second = layer((crops, crops, seeds)), layer((crops, crops, seeds))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert np.abs(first[0] - first[1]).max() > 0.1


def test_the_whole_layer_compiles_with_xla():
    inputs = _inputs(16)
    layer = TwoViews(_settings(), 3)
    compiled = tf.function(lambda *inputs: layer(inputs), jit_compile=True)(*inputs)
    for plain, fused in zip(layer(inputs), compiled, strict=True):
        # Fused multiply-add and other sums, over the deviation 0.25.
        np.testing.assert_allclose(fused, plain, rtol=0, atol=5e-5)


def test_views_are_float32_under_a_mixed_policy():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = TwoViews(_settings(), 3)
        mixed = layer(_inputs(4))
    finally:
        keras.config.set_dtype_policy(before)
    assert layer.compute_dtype == "float32" and mixed[0].dtype == tf.float32
    np.testing.assert_array_equal(mixed[0], TwoViews(_settings(), 3)(_inputs(4))[0])


def test_config_makes_an_equal_layer():
    layer = TwoViews(_settings(view_b=View(flip=0.1), blur_sigma=(0.2, 1.0)), 3, name="views")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy.settings == layer.settings and copy.channels == 3 and copy.name == "views"
    np.testing.assert_array_equal(layer(_inputs(4))[1], copy(_inputs(4))[1])


def test_functional_model_knows_the_shapes():
    inputs = [
        keras.Input([SIZE, SIZE, 3], dtype="uint8"),
        keras.Input([SIZE, SIZE, 3], dtype="uint8"),
        keras.Input([2], dtype="int32"),
    ]
    model = keras.Model(inputs, TwoViews(_settings(), 3)(tuple(inputs)))
    assert [output.shape for output in model.outputs] == [(None, SIZE, SIZE, 3)] * 2


def test_color_operations_without_color_are_off_and_say_so_once(caplog):
    two_views._say_color_is_off.cache_clear()
    TwoViews(_settings(), 3)
    assert not caplog.records
    for channels in (1, 4):
        TwoViews(_settings(channels), channels)
    assert [(record.name, record.levelname) for record in caplog.records] == [("barlowtf", "WARNING")]
    assert "grayscale" in caplog.text


def test_arguments_that_do_not_fit_raise():
    with pytest.raises(ValueError, match="Received 0. Expected"):
        TwoViews(_settings(), 0)
    with pytest.raises(ValueError, match="Invalid mean and std: received 3 and 3 values, expected 1 or 4"):
        TwoViews(_settings(), 4)
