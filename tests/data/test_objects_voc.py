"""Images with boxes in folders as VOC's development kit unpacks; by hand-worked values; no network."""

import logging
import os
import random

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.data import decode, open_objects
from barlowtf.data.objects import DroppedObject
from barlowtf.errors import DataError, NoTestSplitError
from tests.data.objects_on_disk import voc_xml, write_image, write_voc

CAT, DOG = ("cat", (1, 1, 20, 10), False), ("dog", (3, 2, 6, 5), True)


@pytest.fixture
def voc(tmp_path):
    """The shape of the blood cell data set: one folder with lists of its own split."""
    images = {"a": [DOG, CAT], "b": [], "c": [CAT], "d": [DOG]}
    lists = {"trainval": ["b", "a", "c"], "train": ["b", "a"], "val": ["c"], "test": ["d"]}
    return write_voc(tmp_path / "cells", lists, images)


def refuse(spec, split="train"):
    with pytest.raises(DataError) as caught:
        open_objects(str(spec), split)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    return str(caught.value)


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_boxes_of_a_folder(voc):
    train, test = (open_objects(str(voc), split) for split in ("train", "test"))
    assert train.image_ids == ("b", "a", "c") and test.image_ids == ("d",)
    assert train.class_names == test.class_names == ("cat", "dog") and train.category_ids == (1, 2)
    assert [len(objects.labels) for objects in train.objects] == [0, 2, 1]
    found = train.objects[1]
    # Pixels 3 to 6 and 2 to 5, counted from 1, both included.
    np.testing.assert_array_equal(found.boxes, np.array([[2, 1, 6, 5], [0, 0, 20, 10]], np.float32))
    np.testing.assert_array_equal(found.labels, [1, 0])
    np.testing.assert_array_equal(found.difficult, [True, False])
    np.testing.assert_array_equal(found.areas, [16.0, 200.0])
    assert not found.crowd.any() and found.masks is None and not train.has_masks
    assert found.boxes.dtype == np.float32 and found.labels.dtype == np.int64 and found.areas.dtype == np.float64
    assert train.objects[0].boxes.shape == (0, 4)
    np.testing.assert_array_equal(train.sizes, [[10, 20]] * 3)
    assert train.dropped == () and train.clipped == 0 and train.object_count == 3
    assert not train.source.has_labels and train.source.identify(1).endswith("JPEGImages/a.jpg")
    assert decode(train.source.read(tf.constant(1, tf.int64)), 3).shape == (10, 20, 3)


def test_without_a_test_list_val_is_the_test_split(voc):
    lists = voc / "ImageSets" / "Main"
    (lists / "test.txt").unlink()
    assert [open_objects(str(voc), split).image_ids for split in ("train", "test")] == [("b", "a"), ("c",)]
    (lists / "val.txt").unlink()
    assert open_objects(str(voc), "train").image_ids == ("b", "a", "c")
    with pytest.raises(NoTestSplitError, match="No test split in .*: received none of its lists, expected test.txt"):
        open_objects(str(voc), "test")
    (lists / "trainval.txt").unlink()
    (lists / "train.txt").unlink()
    assert "No train split in" in refuse(voc)


@pytest.mark.parametrize("below", [True, False])
def test_several_years_are_trained_on_together_and_tested_on_the_first(tmp_path, below):
    devkit = tmp_path / "VOCdevkit"
    write_voc(devkit / "VOC2007", {"trainval": ["000001"], "test": ["000002"]}, {"000001": [CAT], "000002": [CAT]})
    write_voc(devkit / "VOC2012", {"train": ["2008_1"], "val": ["2008_2"]}, {"2008_1": [DOG], "2008_2": [CAT]})
    spec = str(tmp_path if below else devkit)
    train, test = (open_objects(spec, split) for split in ("train", "test"))
    assert train.image_ids == ("000001", "2008_1", "2008_2") and test.image_ids == ("000002",)
    assert test.class_names == ("cat", "dog")
    assert train.source.identify(1).endswith("VOC2012/JPEGImages/2008_1.jpg")


def test_boxes_are_cut_and_left_out(voc, caplog):
    boxes = [(0, -4, 10, 5), (7, 3, 7, 3), (30, 2, 40, 9), (5, 2, "nan", 9), (2, 2, 4, 4), (1, 1, 21, 10)]
    (voc / "Annotations" / "a.xml").write_text(voc_xml([("cat", box, False) for box in boxes]))
    with caplog.at_level(logging.INFO, "barlowtf"):
        train = open_objects(str(voc), "train")
    np.testing.assert_array_equal(train.objects[1].boxes, [[0, 0, 10, 5], [1, 1, 4, 4], [0, 0, 20, 10]])
    assert train.clipped == 2 and train.object_count == 4
    assert sorted(train.dropped_by_reason.values()) == [1, 1, 1]
    assert DroppedObject("a", "cat", (29.0, 1.0, 40.0, 9.0), "its box lies outside the image") in train.dropped
    assert DroppedObject("a", "cat", (7.0, 3.0, 7.0, 3.0), "its box has no width or no height") in train.dropped
    assert "2 of 7 boxes of cells train reach beyond their image" in caplog.text
    assert "1 of 7 objects of cells train left out, e.g. a cat in image a: its box is not finite" in caplog.text


def test_images_as_viewers_show_them(voc):
    write_image(voc / "JPEGImages" / "a.jpg", width=10, height=20, orientation=6)
    np.testing.assert_array_equal(open_objects(str(voc), "train").sizes[1], [10, 20])
    write_image(voc / "JPEGImages" / "a.jpg", orientation=6)
    message = refuse(voc)
    assert "1 of 3 images have another size, e.g. 'a': received 20 x 10 (width x height), expected 10 x 20" in message
    assert "upright by its EXIF orientation" in message
    write_image(voc / "JPEGImages" / "a.jpg", width=40)
    assert "expected 40 x 10 as it is decoded. Annotate" in refuse(voc)


def test_sizes_that_are_not_stated_and_images_that_cannot_be_read(voc):
    (voc / "Annotations" / "a.xml").write_text(voc_xml([CAT], width=0, height=0))
    (voc / "JPEGImages" / "c.jpg").write_bytes(b"no image")
    train = open_objects(str(voc), "train")
    np.testing.assert_array_equal(train.sizes, [[10, 20]] * 3)
    (voc / "Annotations" / "c.xml").write_text(voc_xml([CAT], width=0, height=0))
    train = open_objects(str(voc), "train")
    np.testing.assert_array_equal(train.sizes[2], [0, 0])
    assert train.dropped_by_reason == {"its image cannot be read and its size is not stated": 1}


def test_other_endings(voc):
    (voc / "JPEGImages" / "a.jpg").unlink()
    write_image(voc / "JPEGImages" / "a.PNG")
    assert open_objects(str(voc), "train").source.identify(1).endswith("a.PNG")


def test_the_fingerprint_sees_images_and_objects(voc):
    before = open_objects(str(voc), "train").fingerprint
    assert open_objects(str(voc), "train").fingerprint == before and len(before) == 64
    edit(voc / "Annotations" / "a.xml", "<xmin>3</xmin>", "<xmin>4</xmin>")
    moved = open_objects(str(voc), "train").fingerprint
    write_image(voc / "JPEGImages" / "b.jpg", shade=250)
    assert len({before, moved, open_objects(str(voc), "train").fingerprint}) == 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<annotation>", "<!DOCTYPE a [<!ENTITY b 'c'>]><annotation>", "it has a DOCTYPE"),
        ("</annotation>", "", "no element found"),
        ("annotation>", "html>", "received <html>"),
        ("<xmin>3</xmin>", "<xmin>3,5</xmin>", "xmin of object 1 is '3,5'"),
        ("<xmin>3</xmin>", "", "xmin of object 1 is ''"),
        ("<name>dog</name>", "<name> </name>", "object 1 has no name"),
        ("<width>20</width>", "<width>wide</width>", "width is 'wide'"),
        ("<annotation>", '<?xml version="1.0" encoding="klingon"?><annotation>', "unknown encoding"),
    ],
)
def test_annotations_that_cannot_be_used(voc, old, new, message):
    edit(voc / "Annotations" / "a.xml", old, new)
    assert message in (received := refuse(voc)) and "expected XML as VOC has it" in received


def test_entities_are_not_expanded(voc):
    levels = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    (voc / "Annotations" / "a.xml").write_text(f'<!DOCTYPE x [<!ENTITY a0 "x">{levels}]><annotation>&a11;</annotation>')
    assert "it has a DOCTYPE" in refuse(voc)
    (voc / "Annotations" / "a.xml").write_bytes("<!DOCTYPE x []><annotation/>".encode("utf-16"))
    assert "it has a DOCTYPE" in refuse(voc)


def test_files_that_cannot_be_used(voc, tmp_path):
    annotation, lists = voc / "Annotations" / "a.xml", voc / "ImageSets" / "Main"
    with open(annotation, "r+b") as file:
        file.truncate(2**24 + 1)
    assert "it has more than 16,777,216 bytes" in refuse(voc)
    annotation.unlink()
    assert "1 of 3 images, 'a'; expected an XML file for each" in refuse(voc)
    os.mkfifo(annotation)
    assert "it is a pipe" in refuse(voc)
    annotation.unlink()
    annotation.write_text(voc_xml([CAT]))
    (voc / "JPEGImages" / "a.jpg").unlink()
    assert "1 of 3 that" in (message := refuse(voc)) and "names, 'JPEGImages/a.jpg'; expected a file" in message
    (lists / "trainval.txt").write_text("c\n../a\n")
    assert "Invalid line 2 of" in (message := refuse(voc)) and "'../a'" in message
    (lists / "trainval.txt").write_text("c\nc\n")
    assert "Invalid line 2 of" in refuse(voc)
    (lists / "trainval.txt").write_text("\n")
    assert "Empty lists" in refuse(voc)
    (lists / "trainval.txt").write_text("b\n")
    assert "No objects in" in refuse(voc)
    (lists / "trainval.txt").write_text("c\n")
    message = refuse(voc, "test")
    assert "received 'dog', expected those of the training images, 'cat'" in message
    assert "it does not exist, expected a folder with Annotations/" in refuse(tmp_path / "nothing")
    assert "No boxes in" in refuse(tmp_path)
    assert "its images have no boxes, expected tfds:NAME" in refuse("digits")
    assert "Unknown data: received 'http://x'" in refuse("http://x")
    with pytest.raises(ValueError, match="Invalid split: received 'val'"):
        open_objects(str(voc), "val")


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([(0.1, 0.2, 0.5, 0.9)], "which look like parts of the image"),
        ([(12, 2, 5, 4), (2, 6, 5, 3), (9, 4, 8, 5)], "3 of 4 do not fit, and all would as x, y, width, height"),
        ([(2 * n, 2, 40 + n, 30) for n in range(6)], "6 of 7 leave their image"),
    ],
)
def test_boxes_in_another_convention(voc, boxes, message):
    if "parts" in message:
        (voc / "Annotations" / "c.xml").write_text(voc_xml([]))
    elif "width" in message:
        (voc / "Annotations" / "c.xml").write_text(voc_xml([("cat", (1, 1, 9, 9), False)]))
    (voc / "Annotations" / "a.xml").write_text(voc_xml([("cat", box, False) for box in boxes]))
    received = refuse(voc)
    assert message in received and "expected xmin, ymin, xmax, ymax in pixels from 1" in received


def test_damaged_annotations_load_or_are_one_line(voc):
    path, draw = voc / "Annotations" / "a.xml", random.Random(0)
    whole = path.read_bytes()
    outcomes = set()
    for _ in range(150):
        text = bytearray(whole)
        for _ in range(draw.randrange(1, 4)):
            place = draw.randrange(len(text))
            match draw.randrange(4):
                case 0:
                    text[place] = draw.randrange(256)
                case 1:
                    del text[place : place + draw.randrange(1, 30)]
                case 2:
                    text[place:place] = draw.choice([b"<", b"&", b"\0", b"-", b"9" * 400, b"1e999", b"<object/>"])
                case 3:
                    text = text[:place] + text[draw.randrange(len(text)) :]
            text = text or bytearray(b"<")
        path.write_bytes(bytes(text))
        try:
            assert open_objects(str(voc), "train").fingerprint
            outcomes.add("loaded")
        except DataError as error:
            assert "\n" not in str(error) and len(str(error)) < 500, str(error)
            outcomes.add("refused")
    assert outcomes == {"loaded", "refused"}


def test_a_kind_of_ones_own_opens_images_with_boxes_too(voc, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from barlowtf.data import SourceKind, open_objects\n"
        f"def boxes(rest, split): return open_objects({str(voc)!r}, split)\n"
        "KIND = SourceKind('', lambda rest, split: None, open_objects=boxes)\n"
        "def photos(split): return None\n"
    )
    assert open_objects(f"{tmp_path}/mine.py:KIND", "test").image_ids == ("d",)
    assert "its images have no boxes, expected tfds:NAME" in refuse(f"{tmp_path}/mine.py:photos")
