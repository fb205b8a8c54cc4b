"""Paths that a user names: what they mean from another directory, and what tables call them."""

import pytest

from barlowtf.errors import CheckpointError
from barlowtf.places import require_features, settled_own, settled_path, settled_spec, short_spec, short_specs


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    # Called like kinds of data, which are no data by themselves.
    for name in ("photos", "folder", "table", "digits"):
        (tmp_path / name).mkdir()
    (tmp_path / "mine.py").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("spec", "meant"),
    [
        ("photos", "{}/photos"),
        ("photos/", "{}/photos"),
        ("./photos/../photos", "{}/photos"),
        ("~/photos", "{}/photos"),
        ("folder", "{}/folder"),
        ("table", "{}/table"),
        ("table:labels.csv", "table:{}/labels.csv"),
        ("tfrecord:shards/train-*", "tfrecord:{}/shards/train-*"),
        ("npy:~/cells.npy", "npy:{}/cells.npy"),
        ("mine.py:source", "{}/mine.py:source"),
    ],
)
def test_paths_mean_the_same_from_everywhere(place, spec, meant):
    settled = settled_spec(spec)
    assert settled == meant.format(place)
    assert settled_spec(settled) == settled


@pytest.mark.parametrize(
    "spec",
    ["digits", "tfds:cifar10", "tfrecord:gs://bucket/train-*", "package.module:source", "nothing", "x.py:source"],
)
def test_other_names_stay(place, spec):
    assert settled_spec(spec) == spec


def test_own_entries(place):
    assert settled_own("mine.py:loss") == f"{place}/mine.py:loss"
    assert settled_own("vicreg") == "vicreg"
    assert settled_path("runs/a/") == f"{place}/runs/a"


def test_tables_leave_out_folders_where_that_is_clear():
    assert short_specs(["/data/cells", "digits", "table:/data/labels.csv"]) == {
        "/data/cells": "cells",
        "digits": "digits",
        "table:/data/labels.csv": "table:labels.csv",
    }
    assert list(short_specs(["/a/cells", "/b/cells"]).values()) == ["/a/cells", "/b/cells"]
    # As a recipe of one's own may write it.
    assert [short_spec(spec) for spec in ("/data/cells/", "npy:/data/x.npy", "/")] == ["cells", "npy:x.npy", "/"]


@pytest.mark.parametrize(
    ("spec", "short"),
    [
        ("npy:/home/me/a:b/x.npy", "npy:x.npy"),
        ("tfrecord:/home/me/run:1/part-*", "tfrecord:part-*"),
        ("tfrecord:gs://bucket/a/part-*", "tfrecord:part-*"),
        ("/home/me/my:own/photos", "photos"),
        ("/home/me/source.py:make", "source.py:make"),
        ("tfds:cifar10:3.0.2", "tfds:cifar10:3.0.2"),
    ],
)
def test_a_colon_in_a_path_shows_no_folder(spec, short):
    assert short_spec(spec) == short


def test_a_file_in_place_of_a_folder_of_features_is_called_a_file(tmp_path):
    (tmp_path / "features.npy").touch()
    with pytest.raises(CheckpointError, match=r"it is a file, expected the --out folder of barlowtf embed\.$"):
        require_features(str(tmp_path / "features.npy"))
    with pytest.raises(CheckpointError, match="it does not exist, expected the --out folder"):
        require_features(str(tmp_path / "feature.npy"))
