"""Images with boxes and masks in folders with COCO files; by hand-worked values; no network."""

import json
import logging
import random

import numpy as np
import pytest

from barlowtf.data import open_objects
from barlowtf.detection import RunLengths, decode_runs
from barlowtf.errors import DataError, NoTestSplitError
from tests.data.objects_on_disk import HEIGHT, WIDTH, coco, thing, write_coco, write_image

LISTS = ("images", "annotations", "categories")
SQUARE = [2.0, 1.0, 6.0, 1.0, 6.0, 5.0, 2.0, 5.0]
# Columns of ten pixels: the pixels 10 to 12 are the first three of the second column.
RUNS = {"size": [HEIGHT, WIDTH], "counts": [10, 3, 187]}


def annotations():
    return [
        thing(11, 3, (2, 1, 4, 4), segmentation=[SQUARE, [1, 1, 2, 2]], area=16.5),
        thing(10, 7, (1, 0, 1, 3), segmentation=RUNS, iscrowd=1),
        # The text of the runs 10, 3, 187, in groups of five bits: 10; 3; 187 = 5 * 32 + 27.
        thing(10, 3, (1, 0, 1, 3), segmentation={"size": [HEIGHT, WIDTH], "counts": ":3k5"}),
    ]


@pytest.fixture
def folder(tmp_path):
    write_coco(tmp_path / "set", coco(annotations()))
    write_coco(tmp_path / "set", coco([thing(10, 7, (0, 0, 20, 10))]), split="val2017")
    return tmp_path / "set"


def annotate(folder, content):
    path = folder / "annotations" / "instances_train2017.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def refuse(folder, content=None, split="train"):
    if content is not None:
        annotate(folder, content)
    with pytest.raises(DataError) as caught:
        open_objects(str(folder), split)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    return str(caught.value)


def test_boxes_and_masks(folder):
    train = open_objects(str(folder), "train")
    assert train.class_names == ("ant", "cat") and train.category_ids == (3, 7) and train.image_ids == (10, 11)
    first, second = train.objects
    np.testing.assert_array_equal(first.boxes, [[1, 0, 2, 3], [1, 0, 2, 3]])
    np.testing.assert_array_equal(second.boxes, [[2, 1, 6, 5]])
    np.testing.assert_array_equal(first.labels, [1, 0])
    np.testing.assert_array_equal(first.crowd, [True, False])
    np.testing.assert_array_equal(first.areas, [3.0, 3.0])
    np.testing.assert_array_equal(second.areas, [16.5])
    assert train.has_masks and not first.difficult.any()
    for runs in first.masks:
        assert isinstance(runs, RunLengths) and runs.counts.tolist() == [10, 3, 187]
        assert np.argwhere(decode_runs(runs)).tolist() == [[0, 1], [1, 1], [2, 1]]
    # The line of two points is no polygon.
    (polygons,) = second.masks
    assert len(polygons) == 1 and polygons[0].dtype == np.float64 and polygons[0].tolist() == SQUARE
    np.testing.assert_array_equal(train.sizes, [[HEIGHT, WIDTH]] * 2)
    test = open_objects(str(folder), "test")
    assert test.size == 2 and test.object_count == 1 and not test.has_masks and test.objects[0].masks is None


def test_a_part_of_the_images(folder):
    train = open_objects(str(folder), "train")
    part = train.part(np.array([1]))
    assert part.image_ids == (11,) and part.objects == train.objects[1:] and part.source.identify(0).endswith("b.jpg")
    assert part.fingerprint != train.fingerprint


def test_the_fingerprint_sees_masks(folder):
    before = open_objects(str(folder), "train").fingerprint
    content = coco(annotations())
    content["annotations"][0]["segmentation"][0][0] = 2.5
    annotate(folder, content)
    moved = open_objects(str(folder), "train").fingerprint
    content["annotations"][1]["segmentation"] = {"size": [HEIGHT, WIDTH], "counts": [10, 4, 186]}
    annotate(folder, content)
    assert len({before, moved, open_objects(str(folder), "train").fingerprint}) == 3


@pytest.mark.parametrize(
    ("annotation", "images"),
    [
        ("{split}/_annotations.coco.json", "{split}"),
        ("annotations/{split}.json", "images/{split}"),
        ("annotations/instances_{split}2014.json", "images"),
        ("{split}.json", "{split}"),
        ("instances_{split}.json", "."),
        ("annotations/{split}.json", "pictures"),
    ],
)
def test_other_places_of_the_files(tmp_path, annotation, images):
    for number, split in enumerate(("train", "valid")):
        name = f"{split}.jpg"
        write_image(tmp_path / images.format(split=split) / name, shade=90 * number)
        path = tmp_path / annotation.format(split=split)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(coco([thing(10, 7, (0, 0, 5, 5), segmentation=[])], images=(name,))))
    (tmp_path / "annotations").mkdir(exist_ok=True)
    (tmp_path / "annotations" / "captions_train2014.json").write_text("[]")
    for split, name in (("train", "train.jpg"), ("test", "valid.jpg")):
        found = open_objects(str(tmp_path), split)
        assert found.source.identify(0).endswith(name) and found.object_count == 1 and not found.has_masks


def test_a_folder_with_training_images_alone(tmp_path):
    """The shape of COCO128."""
    write_coco(tmp_path, coco(annotations()))
    assert open_objects(str(tmp_path), "train").size == 2
    with pytest.raises(NoTestSplitError, match="instances_train2017.json', expected another file with val or test"):
        open_objects(str(tmp_path), "test")
    path = tmp_path / "annotations" / "instances_train2017.json"
    path.rename(tmp_path / "annotations" / "all.json")
    assert open_objects(str(tmp_path), "train").size == 2
    (tmp_path / "annotations" / "val.json").write_text("{}")
    assert "No train split in" in refuse(tmp_path)
    (tmp_path / "annotations" / "instances_val2014.json").write_text("{}")
    assert "Two files of annotations for test in" in refuse(tmp_path, split="test")


def test_boxes_are_cut_and_left_out(folder, caplog):
    boxes = [(15, 6, 6, 4), (3, 3, 0, 2), (3, 3, 2, -1), (25, 3, 4, 4), (3, float("inf"), 4, 4), (3, 3, 10**400, 4)]
    annotate(folder, coco([thing(10, 7, box) for box in [*boxes, *[(0, 0, 4, 4)] * 60]]))
    with caplog.at_level(logging.INFO, "barlowtf"):
        train = open_objects(str(folder), "train")
    np.testing.assert_array_equal(train.objects[0].boxes[0], [15, 6, 20, 10])
    assert train.object_count == 61 and train.clipped == 1 and train.objects[0].areas[0] == 20
    assert train.dropped_by_reason == {
        "its box is not finite": 2,
        "its box has no width or no height": 2,
        "its box lies outside the image": 1,
    }
    assert {one.image_id for one in train.dropped} == {10} and {one.class_name for one in train.dropped} == {"cat"}
    assert "1 of 66 boxes of set train reach beyond their image: cut to it." in caplog.text


def test_objects_without_a_mask(folder, caplog):
    content = coco([*annotations(), thing(10, 7, (1, 1, 2, 2)), thing(10, 7, (1, 1, 2, 2), segmentation=[[1, 2]])])
    annotate(folder, content)
    train = open_objects(str(folder), "train")
    assert train.has_masks and train.object_count == 3 and train.dropped_by_reason == {"it has no mask": 2}
    assert [len(objects.masks) for objects in train.objects] == [2, 1]
    content["annotations"] += [{**thing(10, 7, (1, 1, 2, 2)), "id": 100 + n} for n in range(6)]
    annotate(folder, content)
    train = open_objects(str(folder), "train")
    assert not train.has_masks and train.object_count == 11 and train.objects[0].masks is None
    assert "8 of 11 objects in" in caplog.text and "have no mask: none is taken." in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["images"][1].update(id=10), "Invalid image ids in .*: received 10 more than once"),
        (lambda c: c["categories"][1].update(id=7), "Invalid category ids in .*: received 7 more than once"),
        (lambda c: c["categories"][1].update(name="cat"), "Invalid category names in .*: received 'cat' more than"),
        (lambda c: c["annotations"][1].update(id=1), "Invalid annotation ids in .*: received 1 more than once"),
        (lambda c: c["images"][1].update(file_name="a.jpg"), "received 'a.jpg' more than once"),
        (lambda c: c["images"][1].update(file_name="../val2017/a.jpg"), "received|'../val2017/a.jpg', expected names"),
        (lambda c: c["images"][1].update(file_name="/etc/passwd"), "'/etc/passwd', expected names of files"),
        (lambda c: c["images"][1].update(file_name="z.jpg"), "Missing images in .*train2017: 1 of 2 that .*'z.jpg'"),
        (lambda c: c["images"][1].update(file_name=5), "Invalid file_name of image .*: received 5, expected a text"),
        (lambda c: c["images"][1].update(id=2.5), "Invalid id of image .*: received 2.5, expected a whole number"),
        (lambda c: c["images"][1].update(width=10, height=20), "received 10 x 20 .*, expected 20 x 10"),
        (lambda c: c["categories"][1].update(name=None), "Invalid name of category .*: received None, expected a text"),
        (lambda c: c["categories"][1].update(id="3"), "Invalid id of category .*: received '3', expected a whole"),
        (lambda c: c["annotations"][1].update(image_id=99), "1 of 3 annotations name 99, expected ids of its 2 images"),
        (lambda c: c["annotations"][1].update(image_id=[]), "annotations name .., expected ids of its 2 images"),
        (lambda c: c["annotations"][1].update(category_id=True), "annotations name True, expected ids of its 2 cat"),
        (lambda c: c["annotations"][1].update(bbox=[1, 2, 3]), r"Invalid bbox of annotations\[1\] .*\[1, 2, 3\]"),
        (lambda c: c["annotations"][1].update(bbox=["1", 2, 3, 4]), "expected four numbers x, y, width, height"),
        (lambda c: c["annotations"][1].update(iscrowd=2), "Invalid iscrowd of .*: received 2, expected 0 or 1"),
        (lambda c: c["annotations"][1].update(area="9"), "Invalid area of .*: received '9', expected a number"),
        (lambda c: c["annotations"][1].update(segmentation="x"), r"Invalid segmentation of annotations\[1\] in .*'a.j"),
        (lambda c: c["annotations"][1].update(segmentation="\n"), "received '.n', expected polygons or run lengths"),
        (lambda c: c["annotations"][1]["segmentation"].update(size="\n"), "run lengths of size '.n', expected"),
        (lambda c: c["annotations"][1].update(segmentation=[["1"] * 6]), "received polygon .*, expected .x, y, x, y"),
        (lambda c: c["annotations"][1].update(segmentation=[1, 2, 3, 4, 5, 6]), "received polygon 1, expected"),
        (lambda c: c["annotations"][1]["segmentation"].update(size=[20, 10]), r"size \[20, 10\], expected \[10, 20\]"),
        (lambda c: c["annotations"][1]["segmentation"].update(counts=[1, 2]), "received 3 pixels in 2 runs"),
        (lambda c: c["annotations"][1]["segmentation"].update(counts=[10**30]), "expected numbers of pixels"),
        (lambda c: c["annotations"][2]["segmentation"].update(counts="~"), "Invalid run lengths: received '~'"),
        (lambda c: c["annotations"].append(7), r"Invalid annotations\[3\] in .*: received 7, expected an object"),
        (lambda c: c.update(images=[]), "No images in .*: received an empty list, expected at least one"),
        (lambda c: c.pop("categories"), "received no list categories, expected COCO annotations"),
    ],
)
def test_entries_that_cannot_be_used(folder, change, message):
    content = json.loads(json.dumps(coco(annotations())))
    change(content)
    annotate(folder, content)
    with pytest.raises(DataError, match=message) as caught:
        open_objects(str(folder), "train")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]', "a list of 1 entries, which looks like results"),
        (json.dumps(coco([]))[:-20], "Where the file was cut off, copy it again"),
        ("[" * 100_000, "nested too deeply"),
        ("7", "received no list images, annotations, categories"),
        ('{"images": 1' + "0" * 5000 + "}", "expected COCO annotations"),
    ],
)
def test_files_that_are_no_annotations(folder, content, message):
    assert message in refuse(folder, content)


def test_bytes_that_are_no_text(folder):
    (folder / "annotations" / "instances_train2017.json").write_bytes(b'{"images": "\xff"}')
    assert "byte 12 is not UTF-8" in refuse(folder)
    (folder / "annotations" / "instances_train2017.json").write_bytes(
        b"\xef\xbb\xbf" + json.dumps(coco(annotations())).encode()
    )
    assert open_objects(str(folder), "train").object_count == 3


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([(0.1, 0.2, 0.5, 0.25), (0.5, 0.5, 0.5, 0.5)], "which look like parts of the image"),
        ([(1, 1, 9, 9), (12, 2, 20, 9), (14, 5, 19, 10)], "2 of 3 do not fit, and all would as x1, y1, x2, y2"),
        ([(2 * n, 2, 40, 30) for n in range(6)], "6 of 6 leave their image"),
    ],
)
def test_boxes_in_another_convention(folder, boxes, message):
    received = refuse(folder, coco([thing(10, 7, box) for box in boxes]))
    assert message in received and "expected x, y, width, height in pixels" in received


def test_damaged_annotations_load_or_are_one_line(folder):
    draw, whole = random.Random(0), json.dumps(coco(annotations()))
    strange = [None, True, -1, 2**70, 1e308, "x" * 900, "\n", [], {}, [[]], float("nan"), "\ud800", {"size": 1}]
    outcomes = set()
    for trial in range(300):
        content = json.loads(whole)
        for _ in range(draw.randrange(1, 3)):
            node, key = content, draw.choice(LISTS)
            while isinstance(node[key], (list, dict)) and node[key] and draw.random() < 0.8:
                node = node[key]
                key = draw.choice(list(node)) if isinstance(node, dict) else draw.randrange(len(node))
            node[key] = draw.choice(strange)
            if not all(isinstance(content[name], (list, dict)) and content[name] for name in LISTS):
                break
        text = json.dumps(content)
        if trial % 3 == 0:
            place = draw.randrange(len(text))
            text = text[:place] + draw.choice('0x[]{},"-') + text[place + draw.randrange(3) :]
        annotate(folder, text)
        try:
            assert open_objects(str(folder), "train").fingerprint
            outcomes.add("loaded")
        except DataError as error:
            assert "\n" not in str(error) and len(str(error)) < 500, str(error)
            outcomes.add("refused")
    assert outcomes == {"loaded", "refused"}
