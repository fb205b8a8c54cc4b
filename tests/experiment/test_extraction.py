"""Features of a split: extraction that goes on after a signal, and whose features they are."""

import signal

import numpy as np
import pytest
from PIL import Image

from barlowtf import data
from barlowtf.encoders import extracting
from barlowtf.encoders.loading import load
from barlowtf.errors import Interrupted
from barlowtf.evaluation import FeatureStore

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def test_extraction_goes_on_after_its_last_part(evaluate, thin_run, tmp_path, monkeypatch):
    (expected,) = evaluate(thin_run, tmp_path / "whole", "knn")
    monkeypatch.setattr(extracting, "PART_IMAGES", 500)
    made, read = [], extracting.center_views

    def stopping(encoder, source, ids):
        made.append(len(ids))
        if len(made) == 3:
            signal.raise_signal(signal.SIGTERM)
        return read(encoder, source, ids)

    monkeypatch.setattr(extracting, "center_views", stopping)
    with pytest.raises(Interrupted):
        evaluate(thin_run, tmp_path / "out", "knn")
    assert (made, len(list((tmp_path / "out" / ".features").glob("*/part-*.npy")))) == ([500, 500, 437], 2)
    (record,) = evaluate(thin_run, tmp_path / "out", "knn")
    # The rest of the training images, and the test images.
    assert made == [500, 500, 437, 437, 360]
    assert record.scores == expected.scores
    assert not (tmp_path / "out" / ".features").exists()


def test_splits_of_equal_names_and_sizes_are_not_taken_for_each_other(thin_run, tmp_path):
    for split, value in (("train", 50), ("test", 200)):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            # BMP: the size of the file says nothing about the picture.
            Image.fromarray(np.full((8, 8), value, np.uint8)).save(tmp_path / split / name / "0.bmp")
    train, test = (data.labeled(data.open_source(str(tmp_path), split)) for split in ("train", "test"))
    assert train.source.fingerprint != test.source.fingerprint
    features = FeatureStore(load(str(thin_run)), tmp_path / "features")
    assert not np.allclose(features(train), features(test))
