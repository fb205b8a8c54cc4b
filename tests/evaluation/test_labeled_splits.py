"""Splits that protocols are measured on: a test split of one class is refused, one that lacks classes is told."""

import logging

import numpy as np
import pytest
from PIL import Image

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
