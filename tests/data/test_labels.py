"""Labels as people number and write them: from 1, with gaps, -1 for none, huge, missing, texts, one class."""

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.data import NO_LABEL, open_source, without_gaps
from barlowtf.data.classes import number_classes
from barlowtf.errors import DataError


def image():
    return tf.io.encode_png(np.zeros((4, 4, 3), np.uint8)).numpy()


def feature(value):
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    if isinstance(value, float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def write_records(path, labels=None, texts=None):
    """Writes records of which some lack a label or a text, where it is None."""
    labels, texts = labels or [None] * len(texts or []), texts or [None] * len(labels or [])
    with tf.io.TFRecordWriter(str(path)) as writer:
        for label, text in zip(labels, texts, strict=True):
            given = {"image/encoded": image(), "image/class/label": label, "image/class/text": text}
            features = {name: feature(value) for name, value in given.items() if value is not None}
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    return f"tfrecord:{path}"


@pytest.mark.parametrize(
    ("labels", "names", "numbers"),
    [
        ([3, 1, 2, 1], ("1", "2", "3"), [2, 0, 1, 0]),
        (["7", "5000000000000", "7"], ("7", "5000000000000"), [0, 1, 0]),
        ([0, -1, 1, -1], ("0", "1"), [0, -1, 1, -1]),
        (["b", "", "-1", "b"], ("-1", "b"), [1, -1, 0, 1]),
        # The two classes of a support vector machine.
        ([-1, 1, 1], ("-1", "1"), [0, 1, 1]),
        ([-2, -1, 0], ("-2", "-1", "0"), [0, 1, 2]),
        ([-1, -1], (), [-1, -1]),
        (["", ""], (), [-1, -1]),
    ],
)
def test_labels_become_numbers_of_classes(labels, names, numbers):
    found, number = number_classes(labels)
    assert (found, [number[label] for label in labels]) == (names, numbers)


def test_numbers_that_stand_for_no_class_are_left_out():
    train, test = np.array([1, 3, -1, 1]), np.array([3, 7])
    (numbered, other), names = without_gaps([train, test], None)
    assert (numbered.tolist(), other.tolist(), names) == ([0, 1, -1, 0], [1, 2], ("1", "3", "7"))
    # A class that has a name has its number, with images or without.
    (numbered, other), names = without_gaps([train, test], ("", "ant", "bee", "cow", "", "", "", "", "dog"))
    assert (numbered.tolist(), other.tolist()) == ([0, 2, -1, 0], [2, 3])
    assert names == ("ant", "bee", "cow", "7", "dog")
    for given in (None, ("ant", "bee")):
        (same,), names = without_gaps([np.array([1, 0, -1])], given)
        assert same.tolist() == [1, 0, -1] and names == given


def test_records_some_of_which_have_no_label(tmp_path):
    source = open_source(write_records(tmp_path / "a", [None, 2, 1, -1], [None, b"two", b"one", None]), "train")
    assert source.labels.tolist() == [NO_LABEL, 2, 1, -1] and source.class_names == ("", "one", "two")


@pytest.mark.parametrize("which", ["labels", "texts"])
def test_texts_are_classes_and_both_splits_number_them_alike(tmp_path, which):
    spec = write_records(tmp_path / "train", **{which: [b"cow", None, b"ant", b""]})
    write_records(tmp_path / "val", **{which: [b"bee", b"cow"]})
    train, test = open_source(spec, "train"), open_source(spec, "test")
    assert train.class_names == test.class_names == ("ant", "bee", "cow")
    assert train.labels.tolist() == [2, -1, 0, -1] and test.labels.tolist() == [1, 2]
    # In the order of the numbers that they are.
    source = open_source(write_records(tmp_path / "numbers", **{which: [b"10", b"9", b"-1"]}), "train")
    assert source.class_names == ("9", "10") and source.labels.tolist() == [1, 0, -1]


def test_labels_that_are_no_classes(tmp_path):
    source = open_source(write_records(tmp_path / "huge", [0, 10**12]), "train")
    with pytest.raises(
        DataError, match=r"Invalid label of .*huge record 1 .*: received 1000000000000, expected .*1,048"
    ):
        _ = source.labels
    source = open_source(write_records(tmp_path / "fractions", [0.5, 0.25]), "train")
    assert not source.has_labels and source.notes == (
        "image/class/label holds fractions, which are no classes: no labels.",
    )


def test_stacks_and_tables(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 3, 3), np.uint8))
    texts = (["", "b", "a", ""], ([-1, 1, 0, -1], ("a", "b")))
    for labels, expected in (([1, -1, 5, 5], ([0, -1, 1, 1], ("1", "5"))), texts):
        np.save(tmp_path / "a.labels.npy", np.array(labels))
        source = open_source(f"npy:{tmp_path}/a.npy", "train")
        assert (source.labels.tolist(), source.class_names) == expected
    np.save(tmp_path / "a.labels.npy", np.full(4, -1))
    assert not open_source(f"npy:{tmp_path}/a.npy", "train").has_labels
    for name in "abc":
        (tmp_path / f"{name}.png").write_bytes(image())
    (tmp_path / "t.csv").write_text("file,label\na.png,9\nb.png,\nc.png,-1\n")
    source = open_source(f"table:{tmp_path}/t.csv", "train")
    assert (source.labels.tolist(), source.class_names) == ([0, -1, -1], ("9",))
