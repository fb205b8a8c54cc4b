"""What `barlowtf data show` says of images with boxes."""

import shutil

from barlowtf_cli.main import main
from click.testing import CliRunner

from barlowtf.experiment import describe_data, explain_data
from tests.data.objects_on_disk import coco, thing, write_coco, write_voc

CAT, DOG = ("cat", (1, 1, 16, 9), False), ("dog", (3, 2, 6, 5), True)


def test_both_splits_are_described(tmp_path):
    images = {"a": [DOG, CAT, ("cat", (5, 5, 21, 9), False), ("dog", (4, 4, 3, 8), False)], "b": [], "c": [CAT]}
    folder = write_voc(tmp_path / "cells", {"trainval": ["b", "a"], "test": ["c"]}, images)
    facts = describe_data(str(folder))
    train, test = facts.objects["train"], facts.objects["test"]
    assert (train.images, train.without_objects, train.objects, train.difficult, train.cut) == (2, 1, 3, 1, 1)
    assert train.objects_per_class == {"cat": 2, "dog": 1} and test.objects_per_class == {"cat": 1, "dog": 0}
    assert train.left_out == {"its box has no width or no height": 1} and not train.has_masks
    assert train.objects_per_image == (0, 1, 3) and test.sides == (12.0, 12.0, 12.0)  # 16 x 9
    lines = explain_data(facts).splitlines()
    assert "objects, train    3 boxes in 2 images" in lines
    assert "  per class       cat (2), dog (1)" in lines
    assert "  per class       cat (1), dog (0); 1 without an object" in lines
    assert "  per image       0 to 3, median 1; 1 without" in lines
    assert "  marked          1 difficult" in lines
    assert "  cut             1: the box reaches beyond its image" in lines
    assert "  left out        1: its box has no width or no height" in lines


def test_masks_crowds_and_a_missing_test_split(tmp_path):
    polygon = [[1, 1, 5, 1, 5, 4]]
    runs = {"size": [10, 20], "counts": [20, 20, 160]}
    things = [
        thing(10, 7, (1, 1, 4, 3), segmentation=polygon),
        thing(10, 3, (2, 0, 2, 10), segmentation=runs, iscrowd=1),
    ]
    write_coco(tmp_path, coco(things))
    facts = describe_data(str(tmp_path))
    (train,) = facts.objects.values()
    assert train.has_masks and train.crowds == 1 and train.without_objects == 1
    assert "objects, train    2 boxes and masks in 2 images" in explain_data(facts)


def test_unusable_annotations_are_a_note(tmp_path):
    folder = write_voc(tmp_path / "cells", {"trainval": ["a"]}, {"a": [CAT]})
    (folder / "Annotations" / "a.xml").write_text("<")
    (note,) = [note for note in describe_data(str(folder)).notes if note.startswith("The boxes cannot be used: ")]
    assert "a.xml" in note


def test_what_protocols_refuse_is_a_note(tmp_path):
    write_coco(tmp_path, coco([thing(10, 7, (1, 1, 4, 3))], images=("a.png",)))
    test = coco([thing(10, 7, (1, 1, 4, 3))], images=("b.png",), categories=((7, "emu"),))
    write_coco(tmp_path, test, split="val2017")
    facts = describe_data(str(tmp_path))
    assert set(facts.objects) == {"train", "test"}
    assert "The boxes cannot be used: Unknown classes in the test images of" in facts.notes[-1]


def test_annotations_without_lists_say_what_lacks(tmp_path):
    folder = write_voc(tmp_path / "cells", {"trainval": ["a"]}, {"a": [CAT]})
    shutil.rmtree(folder / "ImageSets")
    facts = describe_data(str(folder))
    assert "The boxes cannot be used: No train split in " in facts.notes[-1]
    assert facts.notes[-1].endswith("received none of its lists, expected trainval.txt or train.txt. Add one.")


def test_images_without_boxes_have_no_objects():
    result = CliRunner().invoke(main, ["data", "show", "--data", "digits", "--json"])
    assert result.exit_code == 0 and '"objects": {}' in result.stdout
