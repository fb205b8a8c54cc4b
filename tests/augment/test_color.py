"""Color operations against torchvision's recorded outputs, hand-written oracles and their properties."""

import colorsys

import numpy as np
import pytest
import tensorflow as tf

from barlowtf import augment

ADJUSTMENTS = {
    "brightness": augment.adjust_brightness,
    "contrast": augment.adjust_contrast,
    "saturation": augment.adjust_saturation,
    "hue": augment.adjust_hue,
}
LUMA = np.array([0.299, 0.587, 0.114])


def _random(channels=3, seed=0):
    return np.random.default_rng(seed).random((4, 6, 5, channels)).astype(np.float32)


@pytest.mark.parametrize("name", ADJUSTMENTS)
@pytest.mark.parametrize("photograph", [0, 1])
@pytest.mark.parametrize("case", [0, 1])
def test_adjustments_match_torchvision(small, recorded, assert_near_recorded, name, photograph, case):
    prefix = f"{photograph}/{name}/{case}"
    out = ADJUSTMENTS[name](small[photograph : photograph + 1], recorded[f"{prefix}/value"])[0]
    # Pillow rounds to uint8; hue goes through hue, saturation and value in uint8, too.
    assert_near_recorded(out, recorded[f"{prefix}/out"], mean=1, percentile_99=6 if name == "hue" else 3)


def test_grayscale_matches_torchvision(small, recorded, assert_near_recorded):
    gray = augment.grayscale(small)
    for photograph in range(2):
        # Pillow's integer weights move a value across one rounding border at most.
        assert_near_recorded(gray[photograph], recorded[f"{photograph}/grayscale"], mean=0.01, percentile_99=0)


def test_chain_matches_torchvision(small, recorded, assert_near_recorded):
    images = augment.adjust_brightness(small, 1.2)
    images = augment.adjust_saturation(images, 0.9)
    images = augment.adjust_contrast(images, 0.8)
    images = augment.adjust_hue(images, 0.05)
    images = augment.gaussian_blur(images, 0.7)
    images = augment.solarize(images)
    for photograph in range(2):
        # Six roundings to uint8 and Pillow's approximate blur: the bound of the blur alone.
        assert_near_recorded(images[photograph], recorded[f"{photograph}/chain"], mean=2, percentile_99=12)


def test_blends_follow_the_oracle():
    images, factor = _random(), np.array([0.0, 0.7, 1.0, 1.6], np.float32)
    f = factor[:, None, None, None].astype(np.float64)
    gray = (images.astype(np.float64) @ LUMA)[..., None]
    mean = gray.mean(axis=(1, 2), keepdims=True)
    # float32 sums of three products, and a mean of 30 numbers: some 1e-7.
    tolerance = {"rtol": 0, "atol": 1e-6}
    np.testing.assert_allclose(augment.adjust_brightness(images, factor), (f * images).clip(0, 1), **tolerance)
    np.testing.assert_allclose(
        augment.adjust_contrast(images, factor), (f * images + (1 - f) * mean).clip(0, 1), **tolerance
    )
    np.testing.assert_allclose(
        augment.adjust_saturation(images, factor), (f * images + (1 - f) * gray).clip(0, 1), **tolerance
    )
    np.testing.assert_allclose(augment.grayscale(images), np.repeat(gray, 3, axis=-1), **tolerance)


@pytest.mark.parametrize("turns", [-0.5, -0.1, 0.0, 0.3, 0.5])
def test_hue_follows_colorsys(turns):
    images = np.concatenate([_random(), np.round(_random(seed=1) * 3) / 3])  # Equal channels, black and white too.
    step = int(turns * 255) / 256  # Pillow's steps.
    expected = np.empty(images.shape)
    for index in np.ndindex(images.shape[:3]):
        hue, saturation, value = colorsys.rgb_to_hsv(*images[index].astype(np.float64))
        expected[index] = colorsys.hsv_to_rgb((hue + step) % 1, saturation, value)
    # Hue is a quotient of differences, times six: float32 rounds it by some 1e-6.
    np.testing.assert_allclose(augment.adjust_hue(images, turns), expected, rtol=0, atol=5e-6)


def test_hue_keeps_gray_value_and_chroma():
    images = _random()
    turned = augment.adjust_hue(images, np.array([0.1, -0.2, 0.4, 0.5], np.float32)).numpy()
    # value - chroma * 1 repeats the minimum to the last bits.
    np.testing.assert_allclose(turned.max(-1), images.max(-1), rtol=0, atol=3e-7)
    np.testing.assert_allclose(turned.min(-1), images.min(-1), rtol=0, atol=3e-7)
    gray = augment.grayscale(images)
    np.testing.assert_array_equal(augment.adjust_hue(gray, 0.3), gray)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_factor_one_changes_no_bit(name):
    np.testing.assert_array_equal(ADJUSTMENTS[name](_random(), 1.0), _random())


@pytest.mark.parametrize("name", ADJUSTMENTS)
def test_each_example_has_its_own_factor(name):
    images, factor = _random(), np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    together = ADJUSTMENTS[name](images, factor)
    for i in range(4):
        alone = ADJUSTMENTS[name](images[i : i + 1], factor[i])
        # The mean of one image may be summed in another order.
        np.testing.assert_allclose(together[i : i + 1], alone, rtol=0, atol=3e-7)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_contrast_without_color_blends_with_the_mean(channels):
    images = _random(channels)
    mean = images.astype(np.float64).mean(axis=(1, 2, 3), keepdims=True)
    # A float32 mean.
    np.testing.assert_allclose(augment.adjust_contrast(images, 0.5), 0.5 * images + 0.5 * mean, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "received"),
    [
        (lambda: augment.adjust_hue(_random(1), 0.1), "1 channels, expected 3"),
        (lambda: augment.adjust_saturation(_random(4), 0.5), "4 channels, expected 3"),
        (lambda: augment.grayscale(_random(1)), "1 channels, expected 3"),
        (lambda: augment.adjust_brightness(_random()[0], 0.5), "float32 of shape .*, expected"),
        (lambda: augment.adjust_contrast(np.zeros([1, 4, 4, 3], np.uint8), 0.5), "uint8 of shape .*, expected"),
    ],
)
def test_images_that_do_not_fit_raise(call, received):
    with pytest.raises(ValueError, match=f"Invalid images: received {received}"):
        call()


def test_xla_gives_the_same_colors():
    images, factor = _random(), np.array([0.1, 0.2, 0.3, 0.4], np.float32)

    def all_four(images, factor):
        return [adjust(images, factor) for adjust in ADJUSTMENTS.values()]

    for plain, compiled in zip(
        all_four(images, factor), tf.function(all_four, jit_compile=True)(images, factor), strict=True
    ):
        # Fused multiply-add rounds once where two operations round twice; hue multiplies it by six.
        np.testing.assert_allclose(compiled, plain, rtol=0, atol=5e-6)


def test_xla_turns_the_hue_of_channels_that_it_computes_twice():
    """Fused with a resampling, a channel is rounded in two ways; its equality with the maximum would not hold."""
    images = tf.constant(np.random.default_rng(0).random((8, 12, 12, 3)).astype(np.float32))
    angle, factor = (tf.constant(np.linspace(-end, end, 8).astype(np.float32)) for end in (20.0, 0.1))

    def turn(images):
        turned = augment.adjust_hue(augment.affine(images, angle), factor)
        return tf.where(tf.reshape(factor > 0.08, [-1, 1, 1, 1]), augment.grayscale(turned), turned)

    # Positions up to 12 in float32.
    np.testing.assert_allclose(tf.function(turn, jit_compile=True)(images), turn(images), rtol=0, atol=2e-5)
