"""Splits that protocols are measured on: a test split of one class is refused, one that lacks classes is told."""

import logging
import shutil

import numpy as np
import pytest
from PIL import Image

from barlowtf.data import ArraySource, both_splits, count_images_in_both
from barlowtf.errors import DataError
from barlowtf.evaluation import open_labeled


@pytest.fixture
def folder(tmp_path):
    """Function (test classes): a folder whose train split has classes a, b and c, and whose test split has these."""

    def make(test):
        values = np.random.default_rng(0)
        for split, classes, count in (("train", "abc", 3), ("test", test, 2)):
            for name in classes:
                (tmp_path / split / name).mkdir(parents=True)
                for number in range(count):
                    pixels = values.integers(0, 256, (8, 8, 3), np.uint8)
                    Image.fromarray(pixels).save(tmp_path / split / name / f"{number}.png")
        return str(tmp_path)

    return make


def test_a_test_split_of_one_class_is_refused(folder):
    """Whatever names one class for all images has every one right, or none."""
    spec = folder("b")
    with pytest.raises(DataError) as told:
        open_labeled(spec, spec, 3)
    message = str(told.value)
    assert message.startswith(f"Invalid test split of {spec}: all 2 images are of class b, expected two of the 3 ")
    assert message.endswith("--holdout 0.2.")


def test_classes_without_test_images_are_told(folder, caplog):
    spec = folder("ac")
    with caplog.at_level(logging.WARNING, "barlowtf"):
        assert open_labeled(spec, spec, 3).class_count == 3
    assert caplog.messages == [
        f"The test split of {spec} has no image of 1 of 3 classes, e.g. b: scores are of the others."
    ]


def test_splits_with_images_of_each_class_are_told_nothing(folder, caplog):
    spec = folder("abc")
    open_labeled(spec, spec, 3)
    assert not caplog.messages


def test_test_images_that_are_in_train_are_counted(folder, tmp_path, caplog):
    spec = folder("ab")
    shutil.copy(tmp_path / "train" / "c" / "1.png", tmp_path / "test" / "a" / "copy.png")
    (tmp_path / "test" / "c").mkdir()
    shutil.copy(tmp_path / "test" / "a" / "0.png", tmp_path / "test" / "c" / "own.png")
    open_labeled(spec, spec, 3)
    assert caplog.messages == [
        f"1 of 6 test images of {spec} are in its train split, too: scores are too high. barlowtf data check {spec} "
        "names them."
    ]


def test_many_images_are_not_compared(monkeypatch):
    images = np.zeros((4, 2, 2, 1), np.uint8)
    assert count_images_in_both(ArraySource("a", images), ArraySource("b", images)) == 4
    monkeypatch.setattr(both_splits, "_ALL_COMPARED", 7)
    assert count_images_in_both(ArraySource("a", images), ArraySource("b", images)) == 0


def test_what_is_passed_over_is_told(folder, tmp_path, caplog):
    """Which rows count as test images decides what a score means."""
    folder("abc")
    rows = [
        f"{split}/{name}/0.png,{name},{as_split}\n"
        for split, as_split in (("train", "train"), ("test", "val"))
        for name in "abc"
    ]
    table = tmp_path / "table.csv"
    table.write_text("".join(["file,label,split\n", *rows, "train/a/1.png,a,test\n"]))
    with caplog.at_level(logging.INFO, "barlowtf"):
        open_labeled(f"table:{table}", f"table:{table}", 3)
    assert [message for message in caplog.messages if "Passed over" in message] == [
        f"table:{table}: Passed over, rows of other splits: test (1 row). The test split is val."
    ]
