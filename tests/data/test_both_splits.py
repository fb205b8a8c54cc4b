"""Splits that are the same images, or that number their classes differently: said, and never measured on."""

import contextlib
import re

import numpy as np
import pytest
from PIL import Image

from barlowtf import experiment
from barlowtf.config import load_recipe
from barlowtf.data import ArraySource, are_same_images, open_source, write_tfrecords
from barlowtf.data.both_splits import class_difference
from barlowtf.errors import DataError
from barlowtf.evaluation import open_labeled
from barlowtf.experiment import training_data

SAME = "has the same 4 images as its train split, so nothing can be measured on it"


@pytest.fixture
def photos(tmp_path):
    """Four images of two classes, in train/."""
    r = np.random.default_rng(0)
    for number in range(4):
        folder = tmp_path / "photos" / "train" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(r.integers(256, size=(8, 8, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return tmp_path / "photos"


def refused(spec, message):
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        open_labeled(spec, spec, 3)
    assert "\n" not in str(caught.value)
    recipe = load_recipe("digits", [f'data.source="{spec}"', "data.channels=3"])
    with pytest.raises(DataError, match=re.escape(message)):
        training_data.open_labeled(recipe, training_data.open_training_data(recipe))
    for split in ("train", "test"):
        assert any(message in note for note in experiment.describe_data(spec, split).notes)


def test_a_test_folder_that_is_a_link_to_train(photos):
    (photos / "test").symlink_to("train")
    refused(str(photos), SAME)


def test_a_run_that_is_not_measured_takes_them(photos):
    (photos / "test").symlink_to("train")
    for every, is_refused in (("5", True), ('"none"', False)):
        settings = [f'data.source="{photos}"', "data.channels=3", f"monitor.knn_every_epochs={every}"]
        recipe = load_recipe("digits", settings)
        with pytest.raises(DataError, match="nothing can be measured") if is_refused else contextlib.nullcontext():
            training_data.open_labeled(recipe, training_data.open_training_data(recipe))


def test_equal_records_in_files_of_other_names(photos):
    source = open_source(str(photos), "train")
    for split in ("train", "val"):
        write_tfrecords(source, photos.parent / split, shards=1)
    refused(f"tfrecord:{photos.parent}/train-*", SAME)


def test_other_images_are_no_fault(photos):
    for name in "ab":
        (photos / "val" / name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (8, 8), (number * 99, 3, ord(name))).save(photos / "val" / name / f"{number}.png")
    assert experiment.describe_data(str(photos)).notes == ()
    assert open_labeled(str(photos), str(photos), 3).test.size == 4


def test_images_that_all_equal_each_other_say_nothing():
    first, second = (ArraySource("x", np.zeros((4, 2, 2, 1), np.uint8), np.arange(4) + shift) for shift in (0, 1))
    assert not are_same_images(first, second) and are_same_images(first, first)


def test_records_whose_numbers_mean_other_classes(photos):
    train = open_source(str(photos), "train")
    images = np.random.default_rng(1).integers(256, size=(2, 8, 8, 3), dtype=np.uint8)
    write_tfrecords(train, photos.parent / "train", shards=1)
    write_tfrecords(ArraySource("x", images, np.arange(2), class_names=("b", "a")), photos.parent / "val", shards=1)
    refused(f"tfrecord:{photos.parent}/train-*", "label 0 is a in the train split and b in the test split. Give each")


@pytest.mark.parametrize(
    ("train", "test", "difference"),
    [
        (None, ("a",), ""),
        (("a", "b"), None, ""),
        (("a", "b"), ("a",), ""),
        (("a", ""), ("a", "b"), ""),
        (("a", "", "c"), ("", "", "c"), ""),
        # ImageNet has two classes called crane.
        (("crane", "b", "crane"), ("", "", "crane"), ""),
        (("a", "b"), ("a", "c"), "label 1 is b in the train split and c in the test split"),
        (("a", ""), ("", "a"), "a is label 0 in the train split and 1 in the test split"),
    ],
)
def test_when_classes_contradict_each_other(train, test, difference):
    assert class_difference(train, test).startswith(difference)
    assert bool(class_difference(train, test)) == bool(difference)
