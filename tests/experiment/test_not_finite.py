"""Encoders whose features are not finite: every command says so in one line, and writes no result."""

import importlib
import shutil

import keras
import numpy as np
import pytest

from barlowtf import experiment
from barlowtf.errors import DataError, ExportError
from barlowtf.experiment import EmbedRequest, ExportRequest, PredictRequest

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
REASON = "{1} are not finite in {0} of {0} images, first in number 0. Expected numbers. The encoder has diverged"


@pytest.fixture(scope="module")
def diverged(thin_run, tmp_path_factory):
    """A run whose encoder has finite weights, and variances below 0: their roots are NaN."""
    folder = tmp_path_factory.mktemp("runs") / "diverged"
    shutil.copytree(thin_run, folder)
    encoder = keras.models.load_model(folder / "encoder.keras")
    for weight in encoder.weights:
        if weight.name == "moving_variance":
            weight.assign(-np.ones(weight.shape, np.float32))
    encoder.save(folder / "encoder.keras")
    return folder


def test_evaluate(evaluate, diverged, tmp_path):
    with pytest.raises(DataError, match=REASON.format(1437, "diverged")):
        evaluate(diverged, tmp_path / "out", "knn")


@pytest.mark.parametrize("form", ["parquet", "npy"])
def test_embed(diverged, tmp_path, form):
    with pytest.raises(DataError, match=REASON.format(360, "diverged")) as caught:
        experiment.embed(EmbedRequest(str(diverged), "digits", tmp_path / "out", split="test", file_format=form))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    assert not [file for file in (tmp_path / "out").rglob("*") if "part-" in file.name or file.suffix == ".npy"]


def test_predict(diverged, tmp_path):
    with pytest.raises(DataError, match=REASON.format(r"\d+", "diverged")):
        experiment.predict(PredictRequest(str(diverged), "digits", tmp_path / "rows.csv", split="test"))
    assert not (tmp_path / "rows.csv").exists()


def test_export(diverged, tmp_path):
    request = ExportRequest(str(diverged / "encoder.keras"), "keras", tmp_path / "out", source="digits", images=16)
    with pytest.raises(DataError, match=f"Features of .*{REASON.format(16, 'encoder.keras')}"):
        experiment.export(request)
    assert not (tmp_path / "out").exists()


def test_a_file_whose_outputs_are_not_finite_is_not_written(thin_run, tmp_path, monkeypatch):
    found = {"features": np.full((16, 32), np.inf, np.float32), "milliseconds": np.float64(1)}
    monkeypatch.setattr(importlib.import_module("barlowtf.export.verification"), "replay_file", lambda *_: found)
    request = ExportRequest(str(thin_run / "encoder.keras"), "keras", tmp_path / "out", source="digits", images=16)
    with pytest.raises(ExportError, match="gives features that are not finite, unlike its source. Nothing was written"):
        experiment.export(request)
    assert not (tmp_path / "out").exists()
