"""Monitors on weights that have exploded or collapsed: nothing is raised, and what was seen is said."""

import io
import logging
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from rich.console import Console

from barlowtf.train import callbacks
from barlowtf.train.monitors import make_knn_monitor

IMAGES = np.random.default_rng(0).standard_normal((40, 3, 3, 1)).astype(np.float32)
LABELS = np.arange(40) % 4


def make_model(scale):
    """Encoder and projector whose weights are a number, or a pattern times it."""
    encoder = keras.Sequential([keras.Input((3, 3, 1)), keras.layers.Flatten(), keras.layers.Dense(32)])
    projector = keras.Sequential([keras.Input((32,)), keras.layers.Dense(32)])
    generator = np.random.default_rng(1)
    for model in (encoder, projector):
        model.set_weights([scale * generator.standard_normal(weight.shape) for weight in model.get_weights()])
    return SimpleNamespace(encoder=encoder, projector=projector, stop_training=False)


def watchers(model):
    recorder = callbacks.Recorder()
    knn = callbacks.KNNMonitor(
        recorder,
        lambda: [(IMAGES[:15], LABELS[:15]), (IMAGES[15:30], LABELS[15:30])],
        lambda: [(IMAGES[30:], LABELS[30:])],
        every_epochs=1,
        total_epochs=1,
        neighbors=200,
        temperature=0.07,
        class_count=4,
        probe=True,
    )
    parts = [np.stack([IMAGES, IMAGES + 0.1])]
    collapse = callbacks.CollapseMonitor(
        recorder, parts, shown={}, every_epochs=1, total_epochs=1, mean=(0.0,), std=(1.0,)
    )
    for watcher in (knn, collapse):
        watcher.set_model(model)
    return recorder, knn, collapse


@pytest.mark.parametrize("scale", [np.nan, np.inf, 1e25, 1e6])
def test_numbers_that_are_not_finite_or_too_large_are_not_measured(scale, caplog):
    recorder, *monitors = watchers(make_model(scale))
    with caplog.at_level(logging.WARNING, "barlowtf"), np.errstate(all="ignore"):
        for monitor in monitors:
            monitor.on_train_begin({"step": 0})
            monitor.on_epoch_end(0)
    assert all(np.isfinite(value) for value in recorder.scalars.values())
    assert ("not finite" in caplog.text) == (scale != 1e6)
    if scale != 1e6:
        assert not recorder.scalars


def test_a_collapse_is_said_once(caplog):
    model = make_model(0.0)
    recorder, _, collapse = watchers(model)
    with caplog.at_level(logging.WARNING, "barlowtf"):
        collapse.on_train_begin({"step": 0})
        assert not caplog.records, "an untrained model has learned nothing that it could lose"
        collapse.on_epoch_end(0)
        collapse.on_epoch_end(0)
    (record,) = caplog.records
    assert "The embeddings have collapsed: effective rank 0.0, 32 of 32 dimensions constant" in record.getMessage()
    assert recorder.scalars["dead_dimensions"] == 32


def test_images_that_go_leave_features_and_labels_aligned():
    recorder, knn, _ = watchers(make_model(1.0))
    knn.queries = lambda: [(IMAGES[[3, 8]], LABELS[[3, 8]])]
    knn.bank = lambda: [(IMAGES[[8]], LABELS[[8]]), (IMAGES[[1, 3]], LABELS[[1, 3]])]
    knn.on_train_begin({"step": 0})
    assert recorder.scalars["knn_top1"] == 1.0
    knn.bank = lambda: []
    recorder.clear()
    knn.on_train_begin({"step": 0})
    assert not recorder.scalars


class _Images:
    """Forty labeled images."""

    name, size, has_labels = "images", 40, True

    @staticmethod
    def labels_of(ids):
        return LABELS[ids]


@pytest.mark.parametrize("halved", [True, False])
def test_half_on_half_is_said(halved, caplog):
    recorder = callbacks.Recorder()
    knn = make_knn_monitor(
        recorder,
        _Images(),
        None if halved else _Images(),
        views=lambda source, ids: [(np.sort(ids), IMAGES[np.sort(ids)])],
        bank_size=16,
        query_count=12,
        seed=0,
        every_epochs=1,
        total_epochs=1,
        neighbors=5,
        temperature=0.07,
        probe=False,
        stop_requested=lambda: False,
    )
    knn.set_model(make_model(1.0))
    knn.on_train_begin({"step": 0})
    assert (recorder.scalars["knn_images"], recorder.scalars["knn_halved"]) == (12, int(halved))
    with caplog.at_level(logging.INFO, "barlowtf"):
        callbacks.Progress(recorder, total_steps=1, console=Console(file=io.StringIO())).write(0)
    assert (" % (half on half)" in caplog.text) == halved
