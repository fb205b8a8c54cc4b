"""Batches for a classifier: every example once an epoch, the same after a resume, from files and from memory."""

import logging

import numpy as np
import tensorflow as tf

from barlowtf.data import labeled, labeled_batches, open_source, readable_part, steps_per_pass
from barlowtf.data.arrays import ArraySource


def _one(image, number, epoch):
    """The number itself in the first pixel: a crop that tells what it was made from."""
    return tf.ensure_shape(tf.cast(tf.fill([2, 2, 1], number * 2 + epoch), tf.uint8), [2, 2, 1])


def _many(images, numbers, epoch):
    return tf.cast(tf.tile((numbers * 2 + epoch)[:, None, None, None], [1, 2, 2, 1]), tf.uint8)


def _batches(examples, start, total, batch=4):
    return [
        (images.numpy()[:, 0, 0, 0], labels.numpy())
        for images, labels in labeled_batches(
            examples,
            crop_one=_one,
            crop_many=_many,
            batch_size=batch,
            channels=1,
            seed=3,
            start_step=start,
            total_steps=total,
        )
    ]


def test_order_labels_and_resume():
    labels = np.arange(10) % 3
    source = ArraySource("ten", np.zeros((10, 4, 4, 1), np.uint8), labels)
    examples = labeled(source, np.arange(1, 10))
    assert steps_per_pass(examples.size, 4) == 3
    whole = _batches(examples, 0, 6)
    assert [len(images) for images, _ in whole] == [4, 4, 1, 4, 4, 1]
    for epoch in (0, 1):
        codes, classes = (np.concatenate(parts) for parts in zip(*whole[3 * epoch : 3 * epoch + 3], strict=True))
        assert sorted(codes) == [2 * number + epoch for number in range(1, 10)]
        np.testing.assert_array_equal(classes, labels[codes // 2])
    assert not np.array_equal(whole[0][0] // 2, whole[3][0] // 2)
    for expected, found in zip(whole[2:], _batches(examples, 2, 6), strict=True):
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])


def test_files_and_memory_agree_and_unreadable_images_are_named(class_folders, caplog):
    # Memory and files: images of one size in the one, of any in the other.
    examples = labeled(open_source(str(class_folders), "train"))
    from_files = _batches(examples, 0, 4, batch=7)
    assert sorted(np.concatenate([images for images, _ in from_files])) == [2 * n for n in range(23)]
    np.testing.assert_array_equal(
        np.concatenate([labels for _, labels in from_files]),
        examples.labels[np.concatenate([images for images, _ in from_files]) // 2],
    )
    memory = ArraySource("same", np.zeros((23, 4, 4, 1), np.uint8), examples.labels)
    for (one, _), (two, _) in zip(from_files, _batches(labeled(memory), 0, 4, batch=7), strict=True):
        np.testing.assert_array_equal(one, two)

    (class_folders / "train" / "ant" / "00.png").write_bytes(b"no image")
    source = open_source(str(class_folders), "train")
    with caplog.at_level(logging.WARNING, "barlowtf"):
        examples = readable_part(labeled(source), 1)
    assert examples.size == 22
    assert 0 not in examples.ids
    assert "1 of 23 images cannot be read and are left out, e.g. " in caplog.text
    assert "ant/00.png" in caplog.text
