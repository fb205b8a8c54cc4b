"""Local crops beside the two crops of each image: from files and from memory, in pieces, of replaced images."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.augment import CROP_A, CROP_B, VIEW_A, VIEW_B, CropPlan, crop_image, draw_crops, local_streams
from barlowtf.augment.draws import WINDOW
from barlowtf.data import (
    ArraySource,
    LocalPlan,
    Share,
    TrainingBatches,
    open_source,
    preload,
    step_ids,
    two_crop_batches,
)

LOCAL = LocalPlan(CropPlan(size=(4, 4), area=(0.1, 0.4)), count=3)


def read(source, plan, **options):
    return [[part.numpy() for part in batch] for batch in two_crop_batches(source, plan, **options)]


@pytest.fixture
def files(class_folders):
    return open_source(str(class_folders), "train")


@pytest.mark.parametrize("pairs", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_batch_has_the_local_crops_of_its_examples_and_the_crops_that_it_had(files, make_plan, pairs):
    plan = make_plan(start_step=7, total_steps=8)
    plain = read(files, plan, pairs=pairs)[0]
    *crops, local = read(files, replace(plan, local=LOCAL), pairs=pairs)[0]
    for one, other in zip(crops, plain, strict=True):
        np.testing.assert_array_equal(one, other)
    assert local.shape == (4 * pairs, 3, 4, 4, 3) and local.dtype == np.uint8
    streams = [stream for stream, _ in local_streams(3)]
    draws = draw_crops(tf.constant(plain[2]), streams, LOCAL.crop)
    _, ids = step_ids(tf.constant(7), size=23, batch_size=4, seed=11)
    for place, number in enumerate(np.tile(ids, pairs)):
        image = tf.io.decode_png(tf.io.read_file(files.identify(number)))
        np.testing.assert_array_equal(local[place], np.stack(crop_image(image, draws[place], LOCAL.crop)))
    assert not np.array_equal(local[:, 0], local[:, 1])


def test_streams_of_local_views_are_nobody_elses():
    streams = [stream for pair in local_streams(64) for stream in pair]
    assert len(set(streams)) == 128 and min(streams) > max(CROP_A, CROP_B, VIEW_A, VIEW_B, WINDOW)
    assert local_streams(2) == local_streams(64)[:2] and local_streams(0) == []


@pytest.mark.parametrize("memory", [pytest.param(False, marks=pytest.mark.slow), True])
def test_pieces_in_a_row_are_the_whole_batch(files, make_plan, memory):
    source = (
        ArraySource("memory", np.random.default_rng(1).integers(0, 256, (9, 8, 10, 3), np.uint8)) if memory else files
    )
    plan = make_plan(start_step=3, total_steps=6, local=LOCAL)
    whole = read(source, plan)
    pieces = read(source, plan, share=Share(pieces=2))
    assert [piece[3].shape for piece in pieces] == [(2, 3, 4, 4, 3)] * 6
    for number, batch in enumerate(whole):
        for part, *halves in zip(batch, *pieces[2 * number : 2 * number + 2], strict=True):
            np.testing.assert_array_equal(part, np.concatenate(halves))
    spec = two_crop_batches(source, plan).element_spec
    assert spec[3].shape.as_list() == [4, 3, 4, 4, 3]


@pytest.mark.slow
@pytest.mark.parametrize("pairs", [1, 2])
def test_images_in_memory_give_the_crops_of_files(tmp_path, make_plan, pairs):
    for number, image in enumerate(np.random.default_rng(1).integers(0, 256, (9, 8, 10, 3), np.uint8)):
        (tmp_path / f"{number}.png").write_bytes(tf.io.encode_png(image).numpy())
    source = open_source(str(tmp_path), "train")
    plan = make_plan(total_steps=2, local=LOCAL)
    for one, other in zip(read(source, plan, pairs=pairs), read(preload(source, 3), plan, pairs=pairs), strict=True):
        # Sums in another order, rounded to whole steps.
        np.testing.assert_allclose(one[3].astype(int), other[3].astype(int), rtol=0, atol=1)


@pytest.mark.slow
def test_an_unreadable_image_is_replaced(files, make_plan):
    _, ids = step_ids(tf.constant(0), size=23, batch_size=4, seed=11)
    with open(files.identify(ids.numpy()[0]), "wb") as file:
        file.write(b"no image")
    batches = TrainingBatches(files, make_plan(total_steps=2, local=LOCAL))
    assert [len(batch) for batch in batches] == [4, 4]
    assert len(batches.replacements) == 1
