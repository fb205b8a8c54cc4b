"""Heads and fine-tuned encoders: training that resumes, on replicas, and beside another solver."""

import importlib
import logging
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from barlowtf.errors import Interrupted
from barlowtf.models import Probe
from barlowtf.train import callbacks

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("protocol", "overrides"),
    [("linear", ("linear.epochs=4", "batch_size=700")), ("semi10", ("semi10.epochs=4", "batch_size=60"))],
)
def test_training_resumes_bit_for_bit(evaluate, thin_run, tmp_path, monkeypatch, caplog, protocol, overrides):
    (whole,) = evaluate(thin_run, tmp_path / "whole", protocol, overrides=overrides)

    class Stopped(callbacks.StopOnRequest):
        def on_train_batch_end(self, batch, logs=None):
            if int(logs["step"]) == 5:
                signal.raise_signal(signal.SIGTERM)
            super().on_train_batch_end(batch, logs)

    monkeypatch.setattr(callbacks, "StopOnRequest", Stopped)
    with pytest.raises(Interrupted, match=f"in {protocol}, saved. The same command resumes"):
        evaluate(thin_run, tmp_path / "parts", protocol, overrides=overrides)
    assert not list((tmp_path / "parts").glob("*.json"))
    monkeypatch.undo()
    with caplog.at_level(logging.INFO, "barlowtf"):
        (resumed,) = evaluate(thin_run, tmp_path / "parts", protocol, overrides=overrides)
    assert "Resuming after step 5 of 12." in caplog.text
    assert resumed.scores == whole.scores
    assert resumed.details == whole.details
    names = ["head.keras"] + (["encoder.keras"] if protocol == "semi10" else [])
    for name in names:
        files = [(tmp_path / part / whole.head).with_name(name) for part in ("whole", "parts")]
        for one, two in zip(*(keras.models.load_model(file).get_weights() for file in files), strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.slow
def test_fine_tuning_on_replicas_equals_one(evaluate, thin_run, tmp_path, two_replicas, monkeypatch):
    overrides = ("semi10.epochs=2", "area=[1.0,1.0]")
    (alone,) = evaluate(thin_run, tmp_path / "one", "semi10", overrides=overrides)
    # One strategy a process: TensorFlow mixes up the collectives of two on the same devices.
    module = importlib.import_module("barlowtf.experiment.evaluate")
    monkeypatch.setattr(module, "make_strategy", lambda *_: two_replicas)
    options = {"strategy": "mirrored", "replicas": 2}
    (mirrored,) = evaluate(thin_run, tmp_path / "two", "semi10", overrides=overrides, **options)
    assert (alone.replicas, mirrored.replicas) == (1, 2)
    for name in ("head.keras", "encoder.keras"):
        one, two = (
            keras.models.load_model((tmp_path / part / record.head).with_name(name)).weights
            for part, record in (("one", alone), ("two", mirrored))
        )
        start = keras.models.load_model(thin_run / "encoder.keras").get_weights() if name == "encoder.keras" else None
        for index, (first, second) in enumerate(zip(one, two, strict=True)):
            first, second = first.numpy(), second.numpy()
            # Two epochs of one update each; float32 sums in another order, behind batch statistics.
            limit = 1e-4
            if start is not None:
                # The encoder's rate is a hundredth of the head's: what counts is how far it went.
                limit = max(1e-6, 0.02 * np.abs(first - start[index]).max())
            np.testing.assert_allclose(second, first, rtol=0, atol=limit, err_msg=one[index].path)


def test_a_head_equals_scikit_learn_on_fixed_features():
    """One convex problem, two solvers: SGD as in `linear`, and L-BFGS of scikit-learn."""
    from sklearn.linear_model import LogisticRegression

    from barlowtf.models import make_head
    from barlowtf.optim import EpochSchedule, MomentumSGD, epoch_rates

    r = np.random.default_rng(0)
    centers = r.standard_normal((10, 20))
    train_labels, test_labels = np.arange(2000) % 10, np.arange(10_000) % 10
    train, test = (
        (centers[labels] + 1.5 * r.standard_normal((len(labels), 20))).astype(np.float32)
        for labels in (train_labels, test_labels)
    )
    decay, epochs, batch = 1e-2, 60, 250
    features = keras.Input((20,))
    identity = keras.Model(features, keras.layers.Identity()(features))
    probe = Probe(identity, make_head(20, 10), frozen=True)
    rates = epoch_rates(0.1, epochs=epochs, schedule="cosine")
    probe.compile(MomentumSGD(EpochSchedule(rates, len(train) // batch), weight_decay=decay))
    probe.optimizer.build(probe.trainable_variables)
    step = tf.function(probe.training_logs)
    for _ in range(epochs):
        order = r.permutation(len(train)).reshape(-1, batch)
        for rows in order:
            step((tf.constant(train[rows]), tf.constant(train_labels[rows])))
    ours = float(np.mean(probe.head(test).numpy().argmax(1) == test_labels))
    # decay / 2 |w|^2 + mean loss = (1 / (C n)) / 2 |w|^2 + mean loss; scikit-learn leaves the bias out of the decay.
    model = LogisticRegression(C=1 / (decay * len(train)), max_iter=1000).fit(train, train_labels)
    theirs = model.score(test, test_labels)
    assert 0.6 < theirs < 0.95
    assert abs(ours - theirs) <= 0.002
