"""The images that an export is compared on: their classes are the head's, or there is no accuracy."""

import numpy as np
import pytest

from barlowtf.export.samples import Sample


def make_sample(labels, class_names):
    return Sample("cells test", [], np.zeros((3, 1, 1, 1), np.uint8), np.array(labels), class_names)


def test_labels_are_numbered_as_the_head_numbers_its_classes():
    sample = make_sample([0, 1, 1], ("red", "white")).for_head(("platelet", "white", "red"))
    assert sample.labels.tolist() == [2, 1, 1]


def test_classes_without_names_go_by_their_numbers():
    assert make_sample([0, 2, 1], None).for_head(("0", "1", "2")).labels.tolist() == [0, 2, 1]


@pytest.mark.parametrize(
    ("labels", "names", "head"),
    [
        ([0, 1, 1], ("cat", "dog"), ("platelet", "white", "red")),
        ([0, 1, 1], ("cat", "red"), ("platelet", "white", "red")),
        ([0, 3, 1], None, ("0", "1", "2")),
        ([0, 1, 1], None, ("platelet", "white", "red")),
        ([0, 1, 1], ("cat", "dog"), ("0", "1", "2")),
    ],
)
def test_there_is_no_accuracy_where_the_head_does_not_know_a_class(caplog, labels, names, head):
    assert make_sample(labels, names).for_head(head).labels is None
    assert "The head has no class" in caplog.text and "their accuracy is not measured" in caplog.text


def test_a_class_that_no_image_has_does_not_matter():
    assert make_sample([1, 1, 1], ("cat", "red")).for_head(("platelet", "white", "red")).labels.tolist() == [2, 2, 2]


def test_images_without_labels_stay_so():
    assert Sample("photos", [], np.zeros((1, 1, 1, 1), np.uint8), None).for_head(("a", "b")).labels is None
