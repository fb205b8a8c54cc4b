"""Trials of recipe digits: what is held out, and that the folder's draws are those of the pixels."""

import numpy as np

from barlowtf import data
from barlowtf.data.digits import digits_source
from benchmarks.digits_trials import measure_pixels, split, write_folder


def test_held_out_scans_come_from_the_training_split_alone():
    train, train_labels, held, held_labels = split()
    assert len(train) == len(train_labels) == 1149 and len(held) == len(held_labels) == 288
    source = digits_source("train")
    together = sorted(image.tobytes() for image in (*train, *held))
    assert together == sorted(image.tobytes() for image in source.read(np.arange(source.size)).numpy())


def test_folder_holds_both_parts_in_the_order_of_the_classes(tmp_path):
    write_folder(tmp_path)
    train, train_labels, held, held_labels = split()
    for name, images, labels in (("train", train, train_labels), ("test", held, held_labels)):
        source = data.preload(data.open_source(str(tmp_path), name), 1)
        order = np.argsort(labels, kind="stable")
        np.testing.assert_array_equal(source.labels_of(np.arange(source.size)), labels[order])
        np.testing.assert_array_equal(source.read(np.arange(source.size)), images[order])


def test_pixels_do_as_recorded():
    measured = measure_pixels(*split(), [0])
    # 281 of 288; ties between equal distances do not occur.
    assert measured["knn"] == [0.9757]
    assert 0.4 < measured["semi1"][0] < measured["semi10"][0] < measured["linear-fast"][0]
