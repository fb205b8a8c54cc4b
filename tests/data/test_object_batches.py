"""Batches for a detector: canvases, the order of images, and boxes and masks that follow their images."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from barlowtf.data import open_objects
from barlowtf.data.objects import ObjectPlan, object_batches, padded_image
from barlowtf.data.objects.batches import mask_within_box
from barlowtf.data.objects.canvases import BatchOrder, canvas_of, resized_extents
from barlowtf.data.order import permutation
from barlowtf.data.rendering import Rendering
from barlowtf.detection import encode_runs, polygons_to_bits
from tests.data.objects_on_disk import HEIGHT, WIDTH, coco, thing, write_coco, write_image, write_voc

PLAN = ObjectPlan(batch_size=2, short_sides=(20,), longest=100, flip=0.0, places=3, mask_size=16, channels=3, seed=5)
# Its left half is full, its right half is filled above.
CORNER = [2.0, 1.0, 10.0, 1.0, 10.0, 3.0, 6.0, 3.0, 6.0, 5.0, 2.0, 5.0]


def test_extents_by_hand():
    sizes = np.array([[480, 640], [640, 480], [100, 1000], [333, 500], [1, 5000]])
    # 800 / 480 = 5/3; a long side of 1333 halves what the third would be; 500 * 800/333 = 1201.2.
    expected = [[800, 1067], [1067, 800], [133, 1333], [800, 1201], [1, 1333]]
    np.testing.assert_array_equal(resized_extents(sizes, 800, 1333), expected)
    assert canvas_of(np.array([[800, 1067], [133, 1333]])) == (800, 1344)
    assert canvas_of(np.array([[32, 1]])) == (32, 32)


def test_wide_and_tall_images_have_canvases_of_their_own():
    sizes = np.array([[10, 20]] * 5 + [[20, 10]] * 4 + [[10, 10]])
    order = BatchOrder(sizes, batch_size=3, short=64, longest=128, seed=1)
    assert order.steps_per_epoch == 3
    first = [order.batch(step)[1] for step in range(3)]
    by_canvas = {batch.canvas: sizes[batch.numbers] for batch in first}
    assert set(by_canvas) == {(64, 128), (128, 64), (128, 128)}
    assert (by_canvas[64, 128][:, 1] == 20).all() and (by_canvas[128, 64][:, 1] == 10).all()
    assert len(np.unique(np.concatenate([batch.numbers for batch in first]))) == 9, "all but the remainder, once"
    later = [order.batch(step) for step in range(3, 6)]
    assert {epoch for epoch, _ in later} == {1}
    assert not all(np.array_equal(one.numbers, two.numbers) for one, (_, two) in zip(first, later, strict=True))
    for step, (_, batch) in enumerate(later, 3):
        again = BatchOrder(sizes, batch_size=3, short=64, longest=128, seed=1).batch(step)[1]
        np.testing.assert_array_equal(again.numbers, batch.numbers)


def test_the_order_of_an_epoch_is_drawn_once(monkeypatch):
    drawn = []

    def counting(size, **options):
        drawn.append(options["epoch"])
        return permutation(size, **options)

    monkeypatch.setattr("barlowtf.data.objects.canvases.permutation", counting)
    order = BatchOrder(np.full((9, 2), 10), batch_size=3, short=32, longest=64, seed=0)
    for step in (0, 1, 2, 3, 4, 5, 0):
        order.batch(step)
    assert drawn == [0, 0, 1, 1, 0, 0], "the images and the batches of each epoch"


@pytest.mark.parametrize("tall", [0, 7])
def test_images_of_one_kind(tall):
    sizes = np.array([[20, 10]] * tall + [[10, 20]] * (7 - tall))
    order = BatchOrder(sizes, batch_size=3, short=32, longest=64, seed=0)
    for epoch in range(3):
        batches = [order.batch(2 * epoch + step)[1] for step in range(2)]
        assert {batch.canvas for batch in batches} == {(64, 32) if tall else (32, 64)}
        assert len(np.unique(np.concatenate([batch.numbers for batch in batches]))) == 6


def test_an_image_of_unknown_size_is_left_to_the_decoder():
    """Of an image that cannot be read, and whose annotation has no size, the size is 0."""
    order = BatchOrder(np.array([[0, 0], [10, 20]]), batch_size=2, short=32, longest=64, seed=0)
    assert order.batch(0)[1].canvas == (32, 64)


@pytest.fixture
def objects(tmp_path):
    content = coco(
        [
            thing(10, 7, (2, 1, 8, 4), segmentation=[CORNER], area=24),
            thing(10, 3, (0, 0, 20, 10), segmentation={"size": [10, 20], "counts": [0, 200]}, iscrowd=1, area=200),
            thing(10, 3, (12, 2, 4, 6), segmentation=[[12, 2, 16, 2, 16, 8, 12, 8]], area=24),
            thing(11, 7, (1, 1, 2, 2), segmentation=[[1, 1, 3, 1, 3, 3, 1, 3]], area=4),
        ],
        images=("a.png", "b.png", "c.png"),
    )
    write_coco(tmp_path, content)
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:, :10] = 240
    Image.fromarray(pixels).save(tmp_path / "train2017" / "a.png")
    return open_objects(str(tmp_path), "train")


def only(objects, number=0, **changes):
    """The fields of one image."""
    plan = replace(PLAN, batch_size=1, **changes)
    batches = object_batches(objects.part(np.array([number])), plan, 0)
    try:
        return [part.numpy()[0] for part in next(batches)]
    finally:
        batches.close()


def test_boxes_and_masks_follow_their_image(objects):
    pixels, extent, boxes, labels, valid, masks, _ = only(objects)
    assert pixels.shape == (32, 64, 3) and pixels.dtype == np.uint8
    np.testing.assert_array_equal(extent, [20, 40])
    np.testing.assert_array_equal(boxes, [[4, 2, 20, 10], [24, 4, 32, 16], [0, 0, 0, 0]])
    np.testing.assert_array_equal(labels, [1, 0, 0])  # 3 is the ant, 7 the cat: in the order of the ids
    np.testing.assert_array_equal(valid, [True, True, False])
    assert (pixels[:20, :18] == 240).all() and not pixels[:20, 22:].any() and not pixels[20:].any()
    corner = np.ones((16, 16), bool)
    corner[8:, 8:] = False
    np.testing.assert_array_equal(masks[0], corner)
    assert masks[1].all() and not masks[2].any()


def test_a_mirror_image_takes_boxes_and_masks_along(objects):
    pixels, extent, boxes, labels, _, masks, _ = only(objects, flip=1.0)
    straight = only(objects)
    np.testing.assert_array_equal(pixels[:20, :40], straight[0][:20, :40][:, ::-1])
    assert not pixels[:, 40:].any()
    np.testing.assert_array_equal(boxes, [[20, 2, 36, 10], [8, 4, 16, 16], [0, 0, 0, 0]])
    np.testing.assert_array_equal(masks, straight[5][:, :, ::-1])
    np.testing.assert_array_equal(labels, straight[3])


def test_of_more_objects_than_places_the_largest_are_taken(objects):
    large, small = 120.0, 24.0
    areas = np.array([small, 200.0, large])
    first = replace(objects.objects[0], areas=areas)
    boxes, valid = (only(replace(objects, objects=(first, *objects.objects[1:])), places=1)[at] for at in (2, 4))
    np.testing.assert_array_equal(boxes, [[24, 4, 32, 16]])
    assert valid.all()


def test_an_image_without_objects_and_a_batch_without_masks(objects):
    _, extent, boxes, _, valid, masks, _ = only(objects, 2)
    assert not valid.any() and not boxes.any() and not masks.any() and extent.all()
    assert only(objects, mask_size=0)[5].shape == (3, 0, 0)


def test_difficult_objects_are_learned(tmp_path):
    images = {"a": [("cat", (1, 1, 20, 10), True), ("dog", (3, 2, 6, 5), False)]}
    voc = open_objects(str(write_voc(tmp_path / "cells", {"trainval": ["a"]}, images)), "train")
    _, _, boxes, labels, valid, masks, _ = only(voc)
    np.testing.assert_array_equal(valid, [True, True, False])
    np.testing.assert_array_equal(boxes[:2], [[0, 0, 40, 20], [4, 2, 12, 10]])
    np.testing.assert_array_equal(labels[:2], [0, 1])
    assert not masks.any(), "boxes alone"


def test_batches_of_a_step_do_not_depend_on_where_one_starts(objects):
    plan = replace(PLAN, short_sides=(16, 20, 24), flip=0.5)
    from_start = list(itertools.islice(object_batches(objects, plan, 0), 6))
    later = list(itertools.islice(object_batches(objects, plan, 4), 2))
    for one, two in zip(from_start[4:], later, strict=True):
        for first, second in zip(one, two, strict=True):
            np.testing.assert_array_equal(first, second)
    seen = [batch[1].numpy() for batch in from_start]
    assert len({tuple(extents.ravel()) for extents in seen}) > 2, "sizes are drawn"


def test_replicas_take_turns(objects, two_replicas):
    whole = next(object_batches(objects, PLAN, 0))
    shared = next(object_batches(objects, PLAN, 0, strategy=two_replicas))
    for one, parts in zip(whole, shared, strict=True):
        for replica, part in enumerate(two_replicas.experimental_local_results(parts)):
            np.testing.assert_array_equal(part, one[replica::2])


def test_runs_and_polygons_are_the_same_mask():
    polygons = [np.array([30.0, 20, 130, 40, 150, 120, 60, 140]), np.array([200.0, 30, 250, 30, 220, 100])]
    box = np.array([30.0, 20, 250, 140])
    drawn = mask_within_box(tuple(polygons), box, size=112)
    runs = encode_runs(polygons_to_bits(polygons, height=160, width=280))
    # A pixel of the image is half a pixel high and 0.9 wide here: the outlines differ by one of them.
    assert (drawn == mask_within_box(runs, box, size=112)).mean() > 0.98
    assert 0.3 < drawn.mean() < 0.7


def test_an_image_turned_by_its_camera_lies_as_its_boxes(tmp_path):
    """Orientation 6: what is stored is turned a quarter to the right for the viewer."""
    content = coco([thing(10, 7, (1, 2, 4, 6))], images=("a.jpg",))
    content["images"][0].update(width=HEIGHT, height=WIDTH)
    write_coco(tmp_path, content)
    write_image(tmp_path / "train2017" / "a.jpg", orientation=6)
    turned = open_objects(str(tmp_path), "train")
    pixels, extent, boxes, *_ = only(turned)
    np.testing.assert_array_equal(extent, [40, 20])
    np.testing.assert_array_equal(boxes[0], [2, 4, 10, 16])
    assert pixels.shape == (64, 32, 3)


@pytest.mark.parametrize(("channels", "depth"), [(1, 8), (1, 16), (3, 16)])
def test_gray_and_deep_images(tmp_path, channels, depth):
    write_coco(tmp_path, coco([thing(10, 7, (1, 2, 4, 6))], images=("a.png",)))
    Image.fromarray(np.full((HEIGHT, WIDTH), 50_000, np.uint16)).save(tmp_path / "train2017" / "a.png")
    deep = open_objects(str(tmp_path), "train")
    rendering = Rendering(depth=depth)
    pixels, extent, *_ = only(deep, channels=channels, rendering=rendering)
    assert pixels.shape == (32, 64, channels) and pixels.dtype == (np.uint16 if depth == 16 else np.uint8)
    assert (pixels[:20, :40] == (50_000 if depth == 16 else 195)).all()  # 50,000 / 257 = 194.6
    seen, size = padded_image(deep, 0, short=20, longest=100, channels=channels, rendering=rendering)
    np.testing.assert_array_equal(seen[0], pixels)
    np.testing.assert_array_equal(size, [extent])


def test_an_image_that_cannot_be_read_is_an_error_of_tensorflow(objects, tmp_path):
    (tmp_path / "train2017" / "b.png").write_bytes(b"no image")
    for read in (lambda: only(objects, 1), lambda: padded_image(objects, 1, short=20, longest=99, channels=3)):
        with pytest.raises(tf.errors.OpError):
            read()


def test_an_image_of_another_size_than_its_boxes_were_read_for(objects, tmp_path):
    Image.fromarray(np.zeros((50, 30, 3), np.uint8)).save(tmp_path / "train2017" / "b.png")
    for read in (lambda: only(objects, 1), lambda: padded_image(objects, 1, short=20, longest=99, channels=3)):
        with pytest.raises(tf.errors.OpError, match="b.png has 50 x 30 pixels now, and had"):
            read()
