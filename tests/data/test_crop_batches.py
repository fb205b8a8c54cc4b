"""The iterator that passes over unreadable images."""

import logging
import os

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.data import ArraySource, CropBatches, open_source, two_crop_batches
from barlowtf.errors import DataError


def make(source, crops, **options):
    draw, crop, _ = crops
    arguments = {"batch_size": 4, "total_steps": 10, "workers": 2} | options
    return CropBatches(source, draw=draw, crop=crop, channels=3, seed=11, **arguments)


def collect(iterator):
    return [[part.numpy() for part in batch] for batch in iterator]


def assert_same(first, second):
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        for part, counterpart in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, counterpart)


@pytest.fixture
def damaged(class_folders):
    """Three damaged files, two of them neighbors: example 5's replacement is 7."""
    source = open_source(str(class_folders), "train")
    for number, content in ((5, b"no image"), (6, b""), (20, None)):
        path = source.identify(number)
        os.unlink(path)
        if content is not None:
            with open(path, "wb") as file:
                file.write(content)
    return source


def test_readable_images_pass_as_they_are(class_folders, crops, caplog):
    source = open_source(str(class_folders), "train")
    iterator = make(source, crops, start_step=2)
    draw, crop, _ = crops
    plain = two_crop_batches(
        source, draw=draw, crop=crop, batch_size=4, channels=3, seed=11, start_step=2, total_steps=10
    )
    assert_same(collect(iterator), collect(plain))
    assert iterator.step == 10 and not iterator.unreadable and not caplog.records


def test_unreadable_images_are_named_and_replaced(damaged, crops, caplog):
    draw, crop, _ = crops
    with caplog.at_level(logging.WARNING, "barlowtf"):
        iterator = make(damaged, crops)
        received = collect(iterator)
    assert iterator.replacements == {5: 7, 6: 7, 20: 21}
    assert set(iterator.unreadable) == {5, 6, 20}
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 3 and all("\n" not in message for message in messages)
    for number in (5, 6, 20):
        assert sum(damaged.identify(number) in message for message in messages) == 1
    told_before = two_crop_batches(
        damaged,
        draw=draw,
        crop=crop,
        batch_size=4,
        channels=3,
        seed=11,
        total_steps=10,
        replacements={5: 7, 6: 7, 20: 21},
    )
    assert_same(received, collect(told_before))


def test_a_resumed_run_replaces_the_same(damaged, crops):
    whole = collect(make(damaged, crops))
    for start in (3, 7):
        assert_same(collect(make(damaged, crops, start_step=start)), whole[start:])


def test_the_limit_is_kept(damaged, crops):
    with pytest.raises(DataError, match="Received 3, the last is .* Expected at most 2") as caught:
        collect(make(damaged, crops, max_unreadable=2))
    assert "\n" not in str(caught.value)
    assert len(collect(make(damaged, crops, max_unreadable=3))) == 10


def test_nothing_readable_at_all(tmp_path, crops):
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="No image of .* can be read. Received 4 unreadable"):
        collect(make(open_source(str(tmp_path), "train"), crops))


def test_an_error_of_another_kind_is_raised_as_it_is(class_folders, crops):
    draw, _, _ = crops

    def broken_crop(image, uniforms):
        tf.debugging.assert_less(tf.shape(image)[0], 2, "the crop is to blame")
        return image, image

    source = ArraySource("memory", np.zeros((9, 8, 10, 3), np.uint8))
    with pytest.raises(tf.errors.InvalidArgumentError, match="the crop is to blame"):
        next(make(source, (draw, broken_crop, None)))


def test_under_a_strategy_each_replica_gets_its_part(damaged, crops, two_replicas):
    whole = collect(make(damaged, crops))
    iterator = make(damaged, crops, strategy=two_replicas)
    received = []
    for batch in iterator:
        local = [two_replicas.experimental_local_results(part) for part in batch]
        received.append([np.concatenate([piece.numpy() for piece in part]) for part in local])
    assert [len(part) for part in local] == [2, 2, 2]
    assert iterator.replacements == {5: 7, 6: 7, 20: 21}
    assert_same(received, whole)
