"""Training a small model in a folder of its own: what is recorded, and what a second call does."""

import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from barlowtf.errors import CheckpointError
from barlowtf.models import Probe, make_head
from barlowtf.records import read_lines
from barlowtf.train.fitting import fit
from barlowtf.train.interruption import Interruption

X = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
Y = np.arange(8) % 2


def _model(width=4):
    features = keras.Input((width,))
    model = Probe(keras.Model(features, keras.layers.Identity()(features)), make_head(width, 2), frozen=True)
    model.compile(keras.optimizers.SGD(0.5))
    model.optimizer.build(model.trainable_variables)
    return model


def _fit(model, folder, total_steps, calls, **options):
    def batches(start):
        calls.append(start)
        return iter([(tf.constant(X), tf.constant(Y))] * (total_steps - start))

    return fit(
        model,
        batches,
        total_steps=total_steps,
        steps_per_epoch=2,
        folder=folder,
        strategy=tf.distribute.get_strategy(),
        interruption=Interruption(),
        console=Console(file=io.StringIO()),
        **options,
    )


def test_epochs_are_measured_and_a_second_call_resumes(tmp_path):
    calls, epochs = [], []

    def measure(epoch):
        epochs.append(epoch)
        return {"test_top1": epoch / 10}

    whole = _model()
    assert _fit(whole, tmp_path / "whole", 6, calls, on_epoch_end=measure)
    assert epochs == [0, 1, 2]
    assert [line["test_top1"] for line in read_lines(tmp_path / "whole" / "metrics.jsonl")] == [0.0, 0.1, 0.2]

    epochs.clear()
    assert _fit(_model(), tmp_path / "parts", 4, calls)
    parts = _model()
    assert _fit(parts, tmp_path / "parts", 6, calls, on_epoch_end=measure)
    # The end of the second epoch was not measured before.
    assert epochs == [1, 2]
    assert calls == [0, 0, 4]
    for one, two in zip(whole.get_weights(), parts.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_signal_stops_after_the_step_and_the_state_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(Interruption, "requested", lambda self: True)
    calls = []
    assert not _fit(_model(), tmp_path, 4, calls)
    monkeypatch.undo()
    assert _fit(_model(), tmp_path, 4, calls)
    assert calls == [0, 1]


def test_a_folder_of_another_model(tmp_path):
    assert _fit(_model(), tmp_path, 2, [])
    with pytest.raises(CheckpointError, match="the state of another model"):
        _fit(_model(width=5), tmp_path, 4, [])
