"""A linear classifier on an encoder: frozen, fine-tuned, and on replicas with uneven shares."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.models import Probe, make_encoder, make_head
from barlowtf.optim import MomentumSGD
from barlowtf.train.loop import compile_step

IMAGES = np.random.default_rng(0).standard_normal((7, 8, 8, 3)).astype(np.float32)
LABELS = np.array([0, 1, 2, 0, 1, 2, 0])


def _probe(frozen):
    encoder = make_encoder("resnet10_w0p0625", image_shape=(8, 8, 3), seed=1)
    # The last gammas of the blocks start at 0, behind which no gradient would be seen.
    for layer in encoder.layers:
        for weight in layer.weights:
            if weight.name == "gamma":
                weight.assign(np.full(weight.shape, 0.7))
    probe = Probe(encoder, make_head(32, 3, seed=2), frozen=frozen)
    optimizer = MomentumSGD(0.1)
    probe.compile(optimizer=optimizer)
    optimizer.build(probe.trainable_variables)
    return probe


def test_head_starts_as_the_authors():
    head = make_head(2000, 50, seed=3)
    kernel, bias = head.get_weights()
    assert bias.max() == bias.min() == 0
    # 100,000 draws of deviation 0.01: the estimate's own deviation is 0.22 %.
    assert kernel.std() == pytest.approx(0.01, rel=0.01)
    assert head.output_shape == (None, 50)


def test_frozen_encoder_stays_and_head_gradient_is_softmax_minus_label():
    probe = _probe(frozen=True)
    before, (kernel, bias) = probe.encoder.get_weights(), probe.head.get_weights()
    features = probe.encoder(IMAGES, training=False).numpy().astype(np.float64)
    logs = probe.training_logs((tf.constant(IMAGES), tf.constant(LABELS)))
    for old, new in zip(before, probe.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    logits = features @ kernel + bias
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    gradient = features.T @ (p - np.eye(3)[LABELS]) / len(LABELS)
    np.testing.assert_allclose(probe.head.get_weights()[0], kernel - 0.1 * gradient, atol=1e-6)  # float32
    assert float(logs["loss"]) == pytest.approx(-np.log(p[np.arange(7), LABELS]).mean(), rel=1e-5)
    assert float(logs["accuracy"]) == pytest.approx(np.mean(p.argmax(1) == LABELS))


def test_fit_trains_the_head_without_further_arguments():
    probe = _probe(frozen=True)
    assert probe.jit_compile is False
    history = probe.fit(tf.data.Dataset.from_tensors((IMAGES, LABELS)), epochs=3, shuffle=False, verbose=0).history
    assert history["loss"][2] < history["loss"][0]


def test_replicas_with_uneven_shares_make_the_same_update(two_replicas):
    alone = _probe(frozen=False)
    expected = alone.training_logs((tf.constant(IMAGES), tf.constant(LABELS)))
    with two_replicas.scope():
        mirrored = _probe(frozen=False)
    step = compile_step(mirrored, two_replicas, xla=False)
    shares = [(IMAGES[index::2], LABELS[index::2]) for index in (0, 1)]
    batch = tuple(
        two_replicas.experimental_distribute_values_from_function(
            lambda context, part=part: tf.constant(shares[context.replica_id_in_sync_group][part])
        )
        for part in (0, 1)
    )
    logs = step(batch)
    for name in ("loss", "accuracy"):
        assert float(logs[name]) == pytest.approx(float(expected[name]), rel=1e-5)
    for one, two in zip(alone.weights, mirrored.weights, strict=True):
        # Weights, running statistics: float32 sums in another order, behind one update of 0.1 times the gradient.
        np.testing.assert_allclose(two.numpy(), one.numpy(), atol=1e-5, err_msg=one.path)
    assert not np.array_equal(alone.encoder.get_weights()[0], _probe(frozen=False).encoder.get_weights()[0])


def test_widths_must_fit():
    encoder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5)])
    with pytest.raises(ValueError, match="received width 6 for an encoder of width 5"):
        Probe(encoder, make_head(6, 2), frozen=True)
    with pytest.raises(ValueError, match="class_count: received 1"):
        make_head(6, 1)
