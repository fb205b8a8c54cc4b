"""Batches for a classifier: every example once per epoch, the same after a resume, from files and from memory."""

import logging

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.augment import CROP_A, CropPlan, crop_image, draw_crops, example_seeds
from barlowtf.data import ArraySource, Labeled, labeled, labeled_batches, open_source, preload, readable_part
from barlowtf.errors import DataError

CROP = CropPlan(size=(5, 7), area=(0.3, 1.0), interpolation="bilinear", flip=0.5)


def numbered(source, ids=None):
    """Examples whose labels are their numbers, so that each crop tells what it was made from."""
    ids = np.arange(source.size) if ids is None else ids
    return Labeled(source, ids, ids)


def read(examples, plan, **options):
    return [(crops.numpy(), labels.numpy()) for crops, labels in labeled_batches(examples, plan, **options)]


@pytest.fixture
def files(class_folders):
    return open_source(str(class_folders), "train")


def test_every_example_comes_once_per_epoch_and_a_resumed_run_goes_on(files, make_plan):
    examples, plan = numbered(files, np.arange(1, 10)), make_plan(crop=CROP, total_steps=6)
    whole = read(examples, plan)
    assert [len(labels) for _, labels in whole] == [4, 4, 1, 4, 4, 1]
    epochs = [np.concatenate([labels for _, labels in whole[start : start + 3]]) for start in (0, 3)]
    for numbers in epochs:
        assert sorted(numbers) == list(range(1, 10))
    assert not np.array_equal(*epochs)
    resumed = read(examples, make_plan(crop=CROP, start_step=2, total_steps=6))
    for expected, found in zip(whole[2:], resumed, strict=True):
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])


def test_a_crop_is_that_of_its_example_and_epoch(files, make_plan):
    mirrored = set()
    for step, (crops, numbers) in enumerate(read(numbered(files), make_plan(crop=CROP, total_steps=12))):
        draws = draw_crops(example_seeds(11, step // 6, tf.constant(numbers)), [CROP_A], CROP)
        for crop, number, draw in zip(crops, numbers, draws, strict=True):
            image = tf.io.decode_png(tf.io.read_file(files.identify(number)))
            np.testing.assert_array_equal(crop, crop_image(image, draw, CROP)[0])
            mirrored.add(bool(draw[0, -1] < CROP.flip))
    assert mirrored == {True, False}


def test_memory_gives_the_crops_of_files(tmp_path, make_plan):
    images = np.random.default_rng(0).integers(0, 256, (9, 8, 10, 3), np.uint8)
    for number, image in enumerate(images):
        (tmp_path / f"{number}.png").write_bytes(tf.io.encode_png(image).numpy())
    source, plan = open_source(str(tmp_path), "train"), make_plan(crop=CROP, total_steps=3)
    from_memory = read(numbered(preload(source, 3)), plan)
    for (crops, labels), (expected, numbers) in zip(from_memory, read(numbered(source), plan), strict=True):
        assert crops.dtype == np.uint8 and crops.shape[1:] == (5, 7, 3)
        np.testing.assert_array_equal(labels, numbers)
        # Sums in another order, rounded to whole steps.
        np.testing.assert_allclose(crops.astype(int), expected.astype(int), rtol=0, atol=1)


def test_the_batch_is_cut_over_the_replicas(files, make_plan, two_replicas):
    examples, plan = numbered(files, np.arange(7)), make_plan(crop=CROP, total_steps=2)
    whole = read(examples, plan)
    shared = list(labeled_batches(examples, plan, strategy=two_replicas))
    assert len(shared) == len(whole) == 2
    for batch, expected in zip(shared, whole, strict=True):
        for part, of_all in zip(batch, expected, strict=True):
            pieces = two_replicas.experimental_local_results(part)
            assert len(pieces) == 2
            for index, piece in enumerate(pieces):
                np.testing.assert_array_equal(piece, of_all[index::2])


def test_unreadable_images_are_left_out_and_named(class_folders, caplog):
    (class_folders / "train" / "ant" / "00.png").write_bytes(b"no image")
    source = open_source(str(class_folders), "train")
    with caplog.at_level(logging.WARNING, "barlowtf"):
        examples = readable_part(labeled(source), 1)
    assert examples.size == 22 and 0 not in examples.ids
    np.testing.assert_array_equal(examples.labels, source.labels_of(examples.ids))
    assert "ant/00.png: Unknown image format" in caplog.text
    with pytest.raises(DataError, match="Cannot read any image of .*: all 1 are unreadable"):
        readable_part(labeled(source, np.array([0])), 1)


def test_all_readable_examples_stay_the_same_object():
    examples = labeled(ArraySource("two", np.zeros((2, 4, 4, 1), np.uint8), np.array([0, 1])))
    assert readable_part(examples, 1) is examples
