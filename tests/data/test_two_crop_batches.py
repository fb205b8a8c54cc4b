"""Batches of two crops: from the step number alone, in shares, from files and from memory."""

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.augment import CROP_A, CROP_B, crop_image, draw_crops, example_seeds, pair_epoch
from barlowtf.data import ArraySource, Share, open_source, preload, step_ids, two_crop_batches
from barlowtf.errors import DataError


def read(source, plan, **options):
    return [[part.numpy() for part in batch] for batch in two_crop_batches(source, plan, **options)]


def assert_same(first, second, atol=0):
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        for part, counterpart in zip(one, other, strict=True):
            np.testing.assert_allclose(part.astype(np.int64), counterpart.astype(np.int64), rtol=0, atol=atol)


@pytest.fixture
def files(class_folders):
    return open_source(str(class_folders), "train")


def noise(count, channels=3):
    return np.random.default_rng(1).integers(0, 256, (count, 8, 10, channels), np.uint8)


def test_steps_read_directly_are_those_after_the_first_seven(files, make_plan):
    assert_same(read(files, make_plan(start_step=7)), read(files, make_plan())[7:])


def test_a_batch_is_its_examples_cropped(files, make_plan):
    plan = make_plan(start_step=7, total_steps=8)
    crops_a, crops_b, seeds = read(files, plan)[0]
    assert crops_a.shape == crops_b.shape == (4, 6, 6, 3) and crops_a.dtype == np.uint8
    # 23 examples, batches of 4: step 7 is in the second epoch.
    epoch, ids = step_ids(tf.constant(7), size=23, batch_size=4, seed=11)
    assert epoch == 1
    np.testing.assert_array_equal(seeds, example_seeds(11, 1, ids))
    draws = draw_crops(tf.constant(seeds), (CROP_A, CROP_B), plan.crop)
    for place, number in enumerate(ids.numpy()):
        image = tf.io.decode_png(tf.io.read_file(files.identify(number)))
        expected_a, expected_b = crop_image(image, draws[place], plan.crop)
        np.testing.assert_array_equal(crops_a[place], expected_a)
        np.testing.assert_array_equal(crops_b[place], expected_b)


def test_shares_and_pieces_in_a_row_are_the_whole_batch(files, make_plan):
    plan = make_plan(start_step=3, total_steps=8)
    whole = read(files, plan)
    shares = [read(files, plan, share=Share(index, count=2)) for index in range(2)]
    joined = [[np.concatenate(parts) for parts in zip(*step, strict=True)] for step in zip(*shares, strict=True)]
    assert_same(joined, whole)
    pieces = read(files, plan, share=Share(1, count=2, pieces=2))
    assert [len(piece[2]) for piece in pieces] == [1] * 10
    assert_same(
        [[np.concatenate(pair) for pair in zip(*pieces[i : i + 2], strict=True)] for i in (0, 2)], shares[1][:2]
    )


@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize("pairs", [1, 2])
def test_images_in_memory_give_the_crops_of_files(tmp_path, make_plan, pieces, pairs):
    for number, image in enumerate(noise(9)):
        (tmp_path / f"{number}.png").write_bytes(tf.io.encode_png(image).numpy())
    source = open_source(str(tmp_path), "train")
    memory = preload(source, 3)
    assert source.image_shape is None and memory.image_shape == (8, 10, 3)
    options = {"share": Share(pieces=pieces), "pairs": pairs}
    plan = make_plan(start_step=1, total_steps=5)
    from_files = read(source, plan, **options)
    assert from_files[0][0].shape == (4 * pairs // pieces, 6, 6, 3)
    # Sums in another order, rounded to whole steps.
    assert_same(read(memory, plan, **options), from_files, atol=1)


def test_shapes_are_static_and_the_number_of_steps_is_known(files, make_plan):
    for source in (files, ArraySource("memory", noise(9))):
        batches = two_crop_batches(source, make_plan(total_steps=5))
        assert [spec.shape.as_list() for spec in batches.element_spec][:2] == [[4, 6, 6, 3]] * 2
        # Distributed input asks the other workers at each step unless the data set is known to be endless.
        endless = two_crop_batches(source, make_plan(total_steps=None))
        assert endless.cardinality() == tf.data.INFINITE_CARDINALITY


def test_replacements_change_the_image_and_not_the_draws(files, make_plan):
    plan = make_plan(total_steps=1)
    first, *_, last = step_ids(tf.constant(0), size=23, batch_size=4, seed=11)[1].numpy().tolist()
    plain = read(files, plan)[0]
    replaced = read(files, plan, replacements={first: last, 99: 1})[0]
    np.testing.assert_array_equal(replaced[2], plain[2])
    np.testing.assert_array_equal(replaced[0][1:], plain[0][1:])
    image = tf.io.decode_png(tf.io.read_file(files.identify(last)))
    draws = draw_crops(tf.constant(plain[2][:1]), (CROP_A, CROP_B), plan.crop)
    np.testing.assert_array_equal(replaced[0][0], crop_image(image, draws[0], plan.crop)[0])


def test_arguments_that_do_not_fit(make_plan):
    source = ArraySource("memory", noise(9, channels=2))
    with pytest.raises(DataError, match=r"Invalid train\.batch_size: received 10, expected at most 9"):
        read(source, make_plan(batch_size=10))
    with pytest.raises(ValueError, match="Invalid batch_size: received 4, expected a multiple of 3 replicas"):
        read(source, make_plan(), share=Share(count=3))
    with pytest.raises(ValueError, match="Invalid share: received index 2, expected 0 to 1"):
        read(source, make_plan(), share=Share(2, count=2))
    odd = ArraySource("memory", noise(9, channels=5))
    with pytest.raises(DataError, match="Invalid images: received 5 channels, expected 3") as caught:
        read(odd, make_plan())
    assert "\n" not in str(caught.value)


def test_several_pairs_of_each_image_one_after_the_other(files, make_plan):
    plan = make_plan(start_step=3, total_steps=5)
    single, several = read(files, plan), read(files, plan, pairs=3)
    for step, one, three in zip((3, 4), single, several, strict=True):
        assert all(len(part) == 12 for part in three)
        for part, first in zip(three, one, strict=True):
            np.testing.assert_array_equal(part[:4], first)
        # Other draws: as of an epoch that never comes.
        epoch, ids = step_ids(tf.constant(step), size=23, batch_size=4, seed=11)
        expected = [example_seeds(11, pair_epoch(epoch, pair), ids) for pair in range(3)]
        np.testing.assert_array_equal(three[2], np.concatenate(expected))
        assert not np.array_equal(three[0][:4], three[0][4:8])
    # A replica's piece has its images' pairs, not one pair of all: first pair, second pair of its two images.
    pieces = read(files, make_plan(start_step=3, total_steps=4), pairs=3, share=Share(pieces=2))
    for place, piece in enumerate(pieces):
        rows = [pair * 4 + place * 2 + row for pair in range(3) for row in range(2)]
        for part, whole in zip(piece, several[0], strict=True):
            np.testing.assert_array_equal(part, whole[rows])
