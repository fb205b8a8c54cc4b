"""Batches of crops: from the step number alone, in shards, and for evaluation."""

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.data import ArraySource, center_view, center_views, open_source, readable_ids, two_crop_batches
from barlowtf.errors import DataError

SIZE = 6


def batches(source, crops, start=0, total=10, batch_size=4, **options):
    draw, crop, _ = crops
    data = two_crop_batches(
        source,
        draw=draw,
        crop=crop,
        batch_size=batch_size,
        channels=3,
        seed=11,
        start_step=start,
        total_steps=total,
        workers=2,
        **options,
    )
    return [[part.numpy() for part in batch] for batch in data]


def assert_same(first, second):
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        for part, counterpart in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, counterpart)


def test_steps_read_directly_are_those_after_the_first_seven(class_folders, crops):
    source = open_source(str(class_folders), "train")
    assert_same(batches(source, crops, 7, 10), batches(source, crops, 0, 10)[7:])


def test_a_batch_is_its_examples_cropped(class_folders, crops):
    draw, crop, _ = crops
    source = open_source(str(class_folders), "train")
    # 23 examples, batches of 4: step 7 is in the second epoch.
    crops_a, crops_b, seeds = batches(source, crops, 7, 8)[0]
    assert crops_a.shape == crops_b.shape == (4, SIZE, SIZE, 3) and crops_a.dtype == np.uint8
    np.testing.assert_array_equal(seeds[:, 1], [1] * 4)
    _, uniforms = draw(tf.constant(seeds[:, 0]), tf.constant(1))
    for place, number in enumerate(seeds[:, 0]):
        image = tf.io.decode_png(tf.io.read_file(source.identify(number)))
        expected_a, expected_b = crop(image, uniforms[place])
        np.testing.assert_array_equal(crops_a[place], expected_a)
        np.testing.assert_array_equal(crops_b[place], expected_b)


def test_shards_and_pieces_in_a_row_are_the_whole_batch(class_folders, crops):
    source = open_source(str(class_folders), "train")
    whole = batches(source, crops, 3, 8)
    shards = [batches(source, crops, 3, 8, shard_index=index, shard_count=2) for index in range(2)]
    joined = [[np.concatenate(parts) for parts in zip(*step, strict=True)] for step in zip(*shards, strict=True)]
    assert_same(joined, whole)
    pieces = batches(source, crops, 3, 8, shard_index=1, shard_count=2, pieces=2)
    assert [len(piece[2]) for piece in pieces] == [1] * 10
    assert_same(
        [[np.concatenate(pair) for pair in zip(*pieces[i : i + 2], strict=True)] for i in (0, 2)], shards[1][:2]
    )


@pytest.mark.parametrize("pieces", [1, 2])
def test_images_in_memory_whole_steps_equal_image_by_image(crops, pieces):
    images = np.random.default_rng(1).integers(0, 256, (9, 8, 10, 1), np.uint8)
    source = ArraySource("memory", images)
    one_by_one = batches(source, crops, 1, 5, pieces=pieces)
    assert one_by_one[0][0].shape == (4 // pieces, SIZE, SIZE, 3)
    assert_same(batches(source, crops, 1, 5, pieces=pieces, crop_batch=crops[2]), one_by_one)


def test_shapes_are_static_and_the_number_of_steps_is_known(class_folders, crops):
    draw, crop, crop_batch = crops
    source = ArraySource("memory", np.zeros((9, 8, 10, 3), np.uint8))
    for option in (None, crop_batch):
        arguments = {"draw": draw, "crop": crop, "batch_size": 4, "channels": 3, "seed": 0, "crop_batch": option}
        data = two_crop_batches(source, total_steps=5, **arguments)
        assert [spec.shape.as_list() for spec in data.element_spec] == [[4, SIZE, SIZE, 3]] * 2 + [[4, 2]]
        endless = two_crop_batches(source, **arguments)
        # Distributed input asks the other workers at each step unless the data set is known to be endless.
        assert endless.cardinality() == tf.data.INFINITE_CARDINALITY


def test_replacements_change_the_image_and_not_the_draws(class_folders, crops):
    draw, crop, _ = crops
    source = open_source(str(class_folders), "train")
    plain = batches(source, crops, 0, 1)[0]
    first, last = plain[2][0, 0], plain[2][3, 0]
    replaced = batches(source, crops, 0, 1, replacements={int(first): int(last), 99: 1})[0]
    np.testing.assert_array_equal(replaced[2], plain[2])
    np.testing.assert_array_equal(replaced[0][1:], plain[0][1:])
    image = tf.io.decode_png(tf.io.read_file(source.identify(last)))
    _, uniforms = draw(tf.constant([first]), tf.constant(0))
    np.testing.assert_array_equal(replaced[0][0], crop(image, uniforms[0])[0])


def test_arguments_that_do_not_fit(crops):
    source = ArraySource("memory", np.zeros((9, 8, 10, 2), np.uint8))
    with pytest.raises(DataError, match="Received train.batch_size 10 and 9 examples"):
        batches(source, crops, batch_size=10)
    with pytest.raises(ValueError, match="Received batch_size 4 for 3 replicas"):
        batches(source, crops, shard_count=3)
    with pytest.raises(ValueError, match="Received 2. Expected 0 to 1"):
        batches(source, crops, shard_index=2, shard_count=2)
    odd = ArraySource("memory", np.zeros((9, 8, 10, 5), np.uint8))
    with pytest.raises(DataError, match="Received images of 5 channels. Expected 3") as caught:
        batches(odd, crops)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("height", "width"), [(300, 401), (401, 300), (90, 90), (80, 1000)])
def test_center_view_is_resize_then_cut(height, width):
    image = np.random.default_rng(2).integers(0, 256, (height, width, 3), np.uint8)
    short = 128  # 112 * 256 / 224
    new_height, new_width = short * height // min(height, width), short * width // min(height, width)
    resized = tf.image.resize(image, (new_height, new_width), "bilinear", antialias=True).numpy()
    top, left = round((new_height - 112) / 2), round((new_width - 112) / 2)
    expected = np.clip(np.round(resized[top : top + 112, left : left + 112]), 0, 255)
    received = center_view(tf.constant(image), 112)
    assert received.shape == (112, 112, 3) and received.dtype == tf.uint8
    # The same kernel at the same places; float32 positions round apart now and then, by one step of 255.
    np.testing.assert_allclose(received, expected, atol=1)


def test_center_view_of_a_small_image_is_the_image():
    image = np.random.default_rng(3).integers(0, 256, (32, 32, 3), np.uint8)
    np.testing.assert_array_equal(center_view(tf.constant(image), 32), image)


def test_center_views_keep_the_order_of_the_ids():
    images = np.repeat(np.arange(9, dtype=np.uint8), 16 * 16).reshape(9, 16, 16, 1)
    ids = np.array([8, 0, 3, 3, 5])
    views = list(center_views(ArraySource("x", images), ids, size=16, channels=1, batch_size=2))
    assert [len(view) for view in views] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate(views)[:, 7, 7, 0], ids)


def test_readable_ids_leave_out_what_cannot_be_decoded(class_folders):
    source = open_source(str(class_folders), "train")
    with open(source.identify(4), "wb") as file:
        file.write(b"damaged")
    np.testing.assert_array_equal(readable_ids(source, np.array([7, 4, 2, 22]), channels=3), [7, 2, 22])
    assert readable_ids(source, np.array([4]), channels=3).shape == (0,)


def test_several_pairs_of_each_image_one_after_the_other(class_folders, crops):
    source = open_source(str(class_folders), "train")
    single, several = batches(source, crops, 3, 5), batches(source, crops, 3, 5, pairs=3)
    for one, three in zip(single, several, strict=True):
        assert all(len(part) == 12 for part in three)
        for part, first in zip(three, one, strict=True):
            np.testing.assert_array_equal(part[:4], first)
        ids, epochs = three[2].reshape(3, 4, 2).transpose(2, 0, 1)
        np.testing.assert_array_equal(ids, [ids[0]] * 3)
        # Other draws: as of an epoch that never comes.
        np.testing.assert_array_equal(epochs - epochs[0], [[0] * 4, [2**24] * 4, [2**25] * 4])
        assert not np.array_equal(three[0][:4], three[0][4:8])
    # A replica's piece has its images' pairs, not one pair of all: first pair, second pair of its two images.
    pieces = batches(source, crops, 3, 4, pairs=3, pieces=2)
    for place, piece in enumerate(pieces):
        rows = [pair * 4 + place * 2 + row for pair in range(3) for row in range(2)]
        for part, whole in zip(piece, several[0], strict=True):
            np.testing.assert_array_equal(part, whole[rows])


def test_pairs_of_images_in_memory_are_those_of_files(crops):
    images = np.random.default_rng(2).integers(0, 256, (9, 9, 9, 3), np.uint8)
    source = ArraySource("nine", images)
    assert_same(batches(source, crops, pairs=2), batches(source, crops, pairs=2, crop_batch=crops[2]))
