"""Gaussian blur against TensorFlow Addons, Pillow, a NumPy oracle and its properties."""

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.augment import gaussian_blur


def _oracle(image, sigma, kernel_size):
    """Correlation of [H, W, C] with a sampled Gaussian, border mirrored by `numpy.pad`, in float64."""
    for axis in (0, 1):
        radius = min(kernel_size // 2, image.shape[axis] - 1)
        kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
        kernel /= kernel.sum()
        widths = [(radius, radius) if i == axis else (0, 0) for i in range(3)]
        padded = np.pad(image, widths, mode="reflect")
        image = sum(
            weight * np.take(padded, np.arange(image.shape[axis]) + i, axis=axis) for i, weight in enumerate(kernel)
        )
    return image


@pytest.mark.parametrize("case", [0, 1, 2])
def test_blur_equals_tensorflow_addons(golden, case):
    recorded = np.load(golden / "tfa.npz")
    size, sigma = int(recorded[f"blur/{case}/filter_shape"]), recorded[f"blur/{case}/sigma"]
    blurred = gaussian_blur(recorded["blur/image"], sigma, kernel_size=size)
    # Two float32 sums of 23 terms of inputs up to 4 in size.
    np.testing.assert_allclose(blurred, recorded[f"blur/{case}/reflect"], rtol=0, atol=2e-6)


@pytest.mark.parametrize("photograph", [0, 1])
@pytest.mark.parametrize("case", [0, 1, 2])
def test_blur_is_near_pillows_approximation(small, recorded, assert_near_recorded, photograph, case):
    sigma = recorded[f"{photograph}/blur/{case}/sigma"]
    blurred = gaussian_blur(small[photograph : photograph + 1], sigma)[0]
    # Pillow blurs by three box filters, whose widths it rounds, and repeats the border.
    assert_near_recorded(blurred, recorded[f"{photograph}/blur/{case}/out"], mean=2, percentile_99=12)


@pytest.mark.parametrize("shape", [(3, 24, 31, 3), (3, 8, 5, 1), (3, 2, 12, 4), (3, 1, 3, 3)])
def test_blur_follows_the_oracle_for_each_sigma_and_for_small_images(shape):
    images, sigma = np.random.default_rng(0).random(shape).astype(np.float32), np.array([0.1, 0.9, 2.0], np.float32)
    blurred = gaussian_blur(images, sigma)
    for i in range(3):
        # Two float32 sums of at most 23 terms of size 1.
        np.testing.assert_allclose(
            blurred[i], _oracle(images[i].astype(np.float64), float(sigma[i]), 23), rtol=0, atol=1e-6
        )


def test_blur_keeps_constants_and_range():
    constant = np.full([2, 9, 30, 3], 0.3, np.float32)
    # Weights sum to 1 up to float32's rounding.
    np.testing.assert_allclose(gaussian_blur(constant, 1.5), constant, rtol=0, atol=2e-7)
    noise = np.random.default_rng(1).integers(0, 2, (2, 16, 16, 3)).astype(np.float32)
    blurred = gaussian_blur(noise, [0.5, 2.0]).numpy()
    assert blurred.min() >= 0 and blurred.max() <= 1 + 2e-7  # The same rounding.
    assert blurred[1].std() < blurred[0].std() < noise.std()


def test_kernel_size_one_changes_nothing():
    images = np.random.default_rng(2).random((1, 6, 6, 3)).astype(np.float32)
    np.testing.assert_array_equal(gaussian_blur(images, 2.0, kernel_size=1), images)


def test_xla_gives_the_same_blur():
    images = np.random.default_rng(3).random((2, 20, 13, 3)).astype(np.float32)
    compiled = tf.function(gaussian_blur, jit_compile=True)(images, tf.constant([0.4, 1.7]))
    # Another order of the same float32 sums.
    np.testing.assert_allclose(compiled, gaussian_blur(images, [0.4, 1.7]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kernel_size", [0, 4, -3])
def test_kernel_sizes_that_do_not_fit_raise(kernel_size):
    with pytest.raises(ValueError, match="Invalid .*: received .*, expected"):
        gaussian_blur(np.zeros([1, 8, 8, 3], np.float32), 1.0, kernel_size=kernel_size)
