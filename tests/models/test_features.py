import numpy as np
import pytest
import tensorflow as tf

from barlowtf.models import extract_features, make_encoder


@pytest.fixture(scope="module")
def encoder():
    model = make_encoder("resnet18_w0p125", image_shape=(16, 16, 1))
    # Away from the first statistics (0 and 1), so that inference and training mode differ.
    model(np.random.default_rng(1).standard_normal((8, 16, 16, 1)).astype(np.float32) + 1, training=True)
    return model


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).standard_normal((10, 16, 16, 1)).astype(np.float32)


def test_features_are_those_of_inference_mode_in_order(encoder, images):
    before = [weight.numpy() for weight in encoder.weights]
    features = extract_features(encoder, [images[:4], images[4:8], images[8:]])
    assert features.dtype == np.float32
    assert features.shape == (10, 64)
    # The compiled graph folds normalization into convolutions: a few roundings of float32.
    np.testing.assert_allclose(features, encoder(images, training=False), rtol=1e-5, atol=1e-6)
    assert np.abs(features - encoder(images, training=True)).max() > 0.01
    for weight, value in zip(encoder.weights, before, strict=True):
        weight.assign(value)


def test_data_set_and_other_float_types(encoder, images):
    expected = extract_features(encoder, [images])
    received = extract_features(encoder, tf.data.Dataset.from_tensor_slices(images).batch(3))
    np.testing.assert_allclose(
        received, expected, rtol=1e-5, atol=1e-6
    )  # another batch size may order sums differently
    np.testing.assert_array_equal(extract_features(encoder, [images.astype(np.float64)]), expected)


def test_no_images(encoder):
    assert extract_features(encoder, []).shape == (0, 64)


def test_one_trace_for_all_batch_sizes(encoder, images):
    class Counting:
        input_shape, output_shape, traces = encoder.input_shape, encoder.output_shape, 0

        def __call__(self, batch, training):
            type(self).traces += 1
            return encoder(batch, training=training)

    extract_features(Counting(), [images[:4], images[4:7], images[7:8]])
    assert Counting.traces == 1


def test_a_known_count_fills_one_array():
    encoder = make_encoder("resnet18_w0p0625", image_shape=(8, 8, 1))
    images = np.random.default_rng(0).standard_normal((5, 8, 8, 1)).astype(np.float32)
    batches = [images[:2], images[2:]]
    np.testing.assert_array_equal(extract_features(encoder, batches, count=5), extract_features(encoder, batches))
    for count in (4, 6):
        with pytest.raises(ValueError, match=f"count = {count}"):
            extract_features(encoder, batches, count=count)
