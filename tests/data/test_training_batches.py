"""The iterator that passes over unreadable images."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.data import ArraySource, SkippedImages, TrainingBatches, open_source, two_crop_batches
from barlowtf.errors import DataError


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


def test_readable_images_pass_as_they_are(class_folders, make_plan, caplog):
    source, plan = open_source(str(class_folders), "train"), make_plan(start_step=2)
    iterator = TrainingBatches(source, plan)
    assert_same(collect(iterator), collect(two_crop_batches(source, plan)))
    assert iterator.step == 10 and not iterator.unreadable and not caplog.records


def test_unreadable_images_are_named_and_replaced(damaged, make_plan, caplog):
    with caplog.at_level(logging.WARNING, "barlowtf"):
        iterator = TrainingBatches(damaged, make_plan())
        received = collect(iterator)
    assert iterator.replacements == {5: 7, 6: 7, 20: 21}
    assert set(iterator.unreadable) == {5, 6, 20}
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 3 and all("\n" not in message for message in messages)
    for number in (5, 6, 20):
        assert sum(damaged.identify(number) in message for message in messages) == 1
    known_before = two_crop_batches(damaged, make_plan(), replacements={5: 7, 6: 7, 20: 21})
    assert_same(received, collect(known_before))


def test_a_resumed_run_replaces_the_same(damaged, make_plan):
    whole = collect(TrainingBatches(damaged, make_plan()))
    for start in (3, 7):
        assert_same(collect(TrainingBatches(damaged, make_plan(start_step=start))), whole[start:])


def test_the_limit_is_kept(damaged, make_plan):
    with pytest.raises(DataError, match="Too many unreadable images: received 3, expected at most 2") as caught:
        collect(TrainingBatches(damaged, make_plan(), skipped=SkippedImages(2)))
    assert "\n" not in str(caught.value)
    assert len(collect(TrainingBatches(damaged, make_plan(), skipped=SkippedImages(3)))) == 10


def test_nothing_readable_at_all(tmp_path, make_plan):
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="Cannot read any image of .*: all 4 are unreadable"):
        collect(TrainingBatches(open_source(str(tmp_path), "train"), make_plan()))


def test_a_step_that_fails_though_its_images_can_be_read_is_one_line(make_plan):
    class FailsAsBatch(ArraySource):
        def read(self, index):
            if index.shape.rank:
                tf.debugging.assert_less(index, tf.constant(-1, tf.int64), "the source is at fault")
            return super().read(index)

    source = FailsAsBatch("memory", np.zeros((9, 8, 10, 3), np.uint8))
    with pytest.raises(DataError, match="Cannot read a batch of memory.*each of its 4 images.*at fault") as caught:
        next(TrainingBatches(source, make_plan()))
    assert "\n" not in str(caught.value) and "{{" not in str(caught.value)


def test_a_file_that_is_whole_again_when_it_is_looked_at_costs_nothing(class_folders, make_plan, caplog):
    """A program that writes a file anew leaves it cut for a moment."""
    source = open_source(str(class_folders), "train")
    expected = collect(TrainingBatches(source, make_plan()))
    path = Path(source.identify(9))
    content = path.read_bytes()
    path.write_bytes(content[:30])
    iterator = TrainingBatches(source, make_plan())
    failed, find = [], iterator._failed.find

    def whole_again(error, ids):
        failed.append(error)
        path.write_bytes(content)
        return find(error, ids)

    iterator._failed.find = whole_again
    assert_same(collect(iterator), expected)
    assert failed and not iterator.unreadable and not caplog.records


def test_files_that_vanish_and_shrink_while_training(class_folders, make_plan):
    source = open_source(str(class_folders), "train")
    iterator = TrainingBatches(source, make_plan(total_steps=40, workers=1))
    next(iterator)
    os.unlink(source.identify(3))
    Path(source.identify(11)).write_bytes(Path(source.identify(11)).read_bytes()[:40])
    Path(source.identify(17)).write_bytes(Path(source.identify(18)).read_bytes())
    assert len(collect(iterator)) == 39
    assert iterator.replacements == {3: 4, 11: 12}


def test_several_pairs(class_folders, make_plan):
    source, plan = open_source(str(class_folders), "train"), make_plan(total_steps=2)
    assert_same(collect(TrainingBatches(source, plan, pairs=2)), collect(two_crop_batches(source, plan, pairs=2)))


def test_under_a_strategy_each_replica_gets_its_part(damaged, make_plan, two_replicas):
    whole = collect(TrainingBatches(damaged, make_plan()))
    iterator = TrainingBatches(damaged, make_plan(), strategy=two_replicas)
    received = []
    for batch in iterator:
        local = [two_replicas.experimental_local_results(part) for part in batch]
        received.append([np.concatenate([piece.numpy() for piece in part]) for part in local])
    assert [len(part) for part in local] == [2, 2, 2]
    assert iterator.replacements == {5: 7, 6: 7, 20: 21}
    assert_same(received, whole)
