"""One rule for images that cannot be read: named once, counted, listed; what is left stays aligned."""

import logging
from pathlib import Path

import numpy as np
import pytest

from barlowtf.data import SkippedImages, TrainingBatches, center_views, open_source, preload, readable_views
from barlowtf.errors import DataError
from barlowtf.records import read_lines


@pytest.fixture
def damaged(class_folders):
    """Files 2, 5 and 6 of the training images, and file 1 of the test images, cannot be read."""
    train, test = (open_source(str(class_folders), split) for split in ("train", "test"))
    Path(train.identify(2)).write_bytes(b"no image")
    Path(train.identify(5)).write_bytes(b"")
    Path(train.identify(6)).unlink()
    Path(test.identify(1)).write_bytes(Path(test.identify(1)).read_bytes()[:50])
    return train, test


def read(source, ids, skipped, batch_size=4):
    batches = list(readable_views(source, ids, size=8, channels=3, batch_size=batch_size, skipped=skipped))
    return np.concatenate([numbers for numbers, _ in batches]), np.concatenate([views for _, views in batches])


def test_readers_share_names_count_and_list(damaged, make_plan, tmp_path, caplog):
    train, test = damaged
    skipped = SkippedImages(4)
    with caplog.at_level(logging.WARNING, "barlowtf"):
        numbers, _ = read(train, np.arange(23)[::-1], skipped)
        skipped.list_in(tmp_path / "skipped.jsonl")
        for _ in TrainingBatches(train, make_plan(), skipped=skipped):
            pass
        others, _ = read(test, np.arange(4), skipped)
    assert numbers.tolist() == [number for number in range(22, -1, -1) if number not in (2, 5, 6)]
    assert others.tolist() == [0, 2, 3]
    assert len(skipped) == 4 == len(caplog.records)
    lines = read_lines(tmp_path / "skipped.jsonl")
    assert sorted(line["image"] for line in lines) == sorted(
        [*(train.identify(number) for number in (2, 5, 6)), test.identify(1)]
    )
    assert all("{{" not in line["reason"] and "\n" not in line["reason"] for line in lines)
    assert {line["number"] for line in lines if line["data"] == train.name} == {2, 5, 6}
    # A second process finds them again, and lists none twice.
    again = SkippedImages(4, file=tmp_path / "skipped.jsonl")
    read(train, np.arange(23), again)
    assert read_lines(tmp_path / "skipped.jsonl") == lines
    with pytest.raises(DataError, match="Too many unreadable images: received 3, expected at most 2. .*--max"):
        read(train, np.arange(23), SkippedImages(2, setting="--max-unreadable"))


def test_views_are_those_of_their_numbers(damaged):
    train, _ = damaged
    ids = np.array([7, 2, 22, 5, 0, 6, 6, 7])
    for batch_size in (1, 3, 100):
        numbers, views = read(train, ids, SkippedImages(), batch_size)
        assert numbers.tolist() == [7, 22, 0, 7]
        (expected,) = center_views(train, numbers, size=8, channels=3, batch_size=9)
        np.testing.assert_array_equal(views, expected)


def test_small_images_are_kept_in_memory_without_the_lost_ones(tmp_path, make_plan):
    from PIL import Image

    for number in range(9):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    for number in (0, 4):
        (tmp_path / f"{number}.png").write_bytes(b"no image")
    source = open_source(str(tmp_path), "train")
    loaded, skipped = preload(source, 3), SkippedImages()
    assert loaded.image_shape == (8, 8, 3) and source.image_shape is None
    batches = TrainingBatches(loaded, make_plan(total_steps=4), skipped=skipped)
    assert len(list(batches)) == 4 and batches.replacements == {0: 1, 4: 5}
    assert {image.reason for image in skipped.images} == {
        "Unknown image format: received bytes that begin with b'no image'"
    }
    numbers, views = read(loaded, np.arange(9), SkippedImages())
    assert numbers.tolist() == [1, 2, 3, 5, 6, 7, 8]
    np.testing.assert_array_equal(views, read(source, np.arange(9), SkippedImages())[1])
