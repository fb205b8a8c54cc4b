"""Training and test images with objects, as protocols open them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from barlowtf.data import EIGHT_BITS, SkippedImages
from barlowtf.errors import DataError, NoTestSplitError
from barlowtf.evaluation import open_object_splits
from barlowtf.evaluation.detection_scores import require_counted
from tests.data.objects_on_disk import coco, thing, write_coco, write_voc

CAT, DOG = ("cat", (1, 1, 20, 10), False), ("dog", (3, 2, 6, 5), True)


@pytest.fixture
def voc(tmp_path):
    images = {"a": [DOG, CAT], "b": [], "c": [CAT], "d": [DOG]}
    return write_voc(tmp_path / "cells", {"trainval": ["b", "a", "c"], "test": ["d"]}, images)


def test_both_splits(voc):
    splits = open_object_splits(str(voc), str(voc), 3)
    assert splits.class_count == 2 and splits.class_names == ("cat", "dog")
    assert splits.train.size == 3 and splits.test.size == 1
    assert splits.fingerprints == {"train": splits.train.fingerprint, "test": splits.test.fingerprint}
    assert splits.choose(fraction=1, seed=0, file=None, sha256=None) == (splits, None)
    assert splits.for_seed(3) is splits
    with pytest.raises(DataError, match="received fraction 0.1, expected all of them"):
        splits.choose(fraction=0.1, seed=0, file=None, sha256=None)
    with pytest.raises(DataError, match="Invalid --holdout 0.2"):
        open_object_splits(str(voc), str(voc), 3, held_out=0.2)


def test_unreadable_images_are_left_out_with_their_objects(voc):
    (voc / "JPEGImages" / "b.jpg").write_bytes(b"nothing")
    splits = open_object_splits(str(voc), str(voc), 3)
    skipped = SkippedImages()
    readable = splits.without_unreadable(3, EIGHT_BITS, skipped)
    assert readable.train.image_ids == ("a", "c") and readable.train.objects == splits.train.objects[1:]
    np.testing.assert_array_equal(readable.train.sizes, [[10, 20]] * 2)
    assert readable.test is splits.test and readable.train.source.identify(0).endswith("a.jpg")


def test_other_test_images_get_the_classes_of_training(voc, tmp_path):
    content = coco([thing(11, 3, (1, 1, 4, 4))], categories=((3, "dog"), (9, "emu")))
    path = write_coco(tmp_path / "other", content)
    # The only images of the other folder are the test images.
    splits = open_object_splits(str(voc), str(tmp_path / "other"), 3)
    assert splits.test.class_names == ("cat", "dog") and splits.test.category_ids == (1, 2)
    assert [objects.labels.tolist() for objects in splits.test.objects] == [[], [1]]
    content["annotations"][0]["category_id"] = 9
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="received 'emu', expected those of the training images, 'cat', 'dog'"):
        open_object_splits(str(voc), str(tmp_path / "other"), 3)
    with pytest.raises(NoTestSplitError, match="name test images with --eval-data"):
        open_object_splits(str(tmp_path / "other"), str(tmp_path / "other"), 3)
    content["annotations"] = []
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="No objects in the test images of other train: received 2 images"):
        open_object_splits(str(voc), str(tmp_path / "other"), 3)


def test_the_training_images_are_no_test_images(tmp_path):
    for name in ("one", "two"):
        write_coco(tmp_path / name, coco([thing(11, 3, (1, 1, 4, 4))]))
    with pytest.raises(DataError, match="has the same 2 images as its train split"):
        open_object_splits(str(tmp_path / "one"), str(tmp_path / "two"), 3)


def test_objects_that_do_not_count_are_no_test(voc):
    test = open_object_splits(str(voc), str(voc), 3).test
    with pytest.raises(DataError, match="all 1 objects are marked as difficult"):
        require_counted(test, measure="voc")
    require_counted(test, measure="coco")
    crowds = replace(test, objects=tuple(replace(one, crowd=np.ones_like(one.crowd)) for one in test.objects))
    with pytest.raises(DataError, match="all 1 objects are crowds"):
        require_counted(crowds, measure="coco")


def test_a_training_image_among_the_test_images(voc):
    with open(voc / "ImageSets" / "Main" / "test.txt", "a") as file:
        file.write("c\n")
    with pytest.raises(DataError, match="received 1 of 2 test images that are training images, e.g. .*c.jpg"):
        open_object_splits(str(voc), str(voc), 3)


def test_crowds_alone_teach_nothing(tmp_path):
    crowd = thing(10, 7, (1, 2, 4, 6), iscrowd=1, segmentation={"size": [10, 20], "counts": [100, 10, 90]})
    write_coco(tmp_path, coco([crowd], images=("a.png",)))
    write_coco(tmp_path, coco([thing(10, 7, (1, 2, 4, 6))], images=("b.png",)), split="val2017")
    with pytest.raises(DataError, match="all 1 are crowds"):
        open_object_splits(str(tmp_path), str(tmp_path), 3)
