"""W-MSE: the numbers of its authors' code, its formula, a model that trains with it, and batches that are too small."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.config import load_recipe
from barlowtf.encoders.building import build_model
from barlowtf.errors import ConfigError
from barlowtf.losses import bind
from barlowtf.losses.wmse import whiten, wmse_loss
from barlowtf.models import BarlowTwins, BatchNormalization, make_projector
from tests.losses.comparing import correlated_views, relative_distance, value_and_gradients
from tests.small_models import convolution, views


@pytest.mark.parametrize(("case", "identity"), [("0", 0.0), ("1", 0.1)])
def test_wmse_equals_the_recorded_numbers(golden, case, identity):
    with np.load(golden / "other_losses.npz") as record:
        arrays = [record[f"wmse/{case}/{z}"] for z in ("z1", "z2")]
        assert float(record[f"wmse/{case}/eps"]) == identity
        for z, name in zip(arrays, ("white1", "white2"), strict=True):
            assert relative_distance(whiten(z, identity=identity), record[f"wmse/{case}/{name}"]) < 1e-5
        terms, gradients = value_and_gradients(lambda a, b: wmse_loss(a, b, identity=identity), *arrays)
        assert relative_distance(terms.total, record[f"wmse/{case}/loss"]) < 1e-5
        for gradient, name in zip(gradients, ("dz1", "dz2"), strict=True):
            assert relative_distance(gradient, record[f"wmse/{case}/{name}"]) < 1e-4


@pytest.mark.parametrize("identity", [0.0, 0.2])
def test_wmse_equals_its_formula(identity):
    white = []
    a, b = correlated_views(12, 5, seed=4)
    for z in (a, b):
        covariance = (1 - identity) * np.cov(z.astype("f8"), rowvar=False) + identity * np.eye(5)
        white.append((z - z.mean(axis=0, dtype="f8")) @ np.linalg.inv(np.linalg.cholesky(covariance)).T)
        np.testing.assert_allclose(whiten(z, identity=identity), white[-1], rtol=1e-4, atol=1e-5)
    if not identity:
        np.testing.assert_allclose(np.cov(white[0], rowvar=False), np.eye(5), atol=1e-9)
    cosines = [x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in zip(*white, strict=True)]
    assert float(wmse_loss(a, b, identity=identity).total) == pytest.approx(2 - 2 * np.mean(cosines), rel=1e-5)


def model_of(**options):
    model = BarlowTwins(convolution(), make_projector(8, (16, 6), dtype="float32"), loss=bind("wmse"), **options)
    model.compile(optimizer=keras.optimizers.SGD(0.2))
    model.optimizer.build(model.trainable_variables)
    return model


def batch(seed=0):
    return tuple(map(tf.constant, views(16, seed)))


def test_training_brings_the_views_together():
    step = tf.function(model_of().training_logs)
    logs = [step(batch(number % 4)) for number in range(60)]
    assert all(int(each["first_nonfinite"]) == -1 for each in logs)
    losses = [float(each["loss"]) for each in logs]
    assert np.mean(losses[-8:]) < 0.7 * np.mean(losses[:4])


def test_micro_batches_take_the_step_of_the_whole_batch():
    whole, parted = model_of(), model_of(micro_batch=4)
    for model in (whole, parted):
        (normalization,) = [layer for layer in model.encoder.layers if isinstance(layer, BatchNormalization)]
        normalization.trainable = False
        model.compile(optimizer=keras.optimizers.SGD(0.1))
    parted.set_weights(whole.get_weights())
    for model in (whole, parted):
        tf.function(model.training_logs)(batch())
    for a, b in zip(whole.trainable_variables, parted.trainable_variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-5, err_msg=a.path)


def test_batches_without_more_images_than_dimensions_are_refused():
    z = tf.zeros([8, 8])
    with pytest.raises(ValueError, match="Invalid global batch: received 8 examples of 8 dimensions, expected more"):
        whiten(z)
    assert whiten(z, identity=0.1).shape == z.shape
    small = ["augment.size=8", "model.encoder=resnet10_w0p0625", "loss.name=wmse", "model.projector=[32]"]
    with pytest.raises(ConfigError, match=r"Invalid train\.batch_size: received 32, expected more than the 32 dim"):
        build_model(load_recipe("digits", [*small, "train.batch_size=32"]), steps_per_epoch=3)
    build_model(load_recipe("digits", [*small, "train.batch_size=33"]), steps_per_epoch=3)
    build_model(load_recipe("digits", [*small, "train.batch_size=32", "loss.identity=0.1"]), steps_per_epoch=3)
