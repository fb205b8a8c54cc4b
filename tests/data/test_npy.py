"""Stacks of images in .npy files."""

import os

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.data import (
    Rendering,
    SkippedImages,
    TrainingBatches,
    center_views,
    decode,
    open_source,
    preload,
    readable_views,
    unreadable_reason,
    write_tfrecords,
)
from barlowtf.errors import DataError
from tests.npy_headers import UNREADABLE

GENERATOR = np.random.default_rng(1)
BYTES = GENERATOR.integers(0, 256, (11, 6, 8, 5), np.uint8)
DEEP = GENERATOR.integers(0, 65536, (11, 6, 8), np.uint16)
SIXTEEN = Rendering(depth=16)


def read(source, index):
    return source.read(tf.constant(index, tf.int64)).numpy()


def test_a_stack_is_read_image_by_image(tmp_path, make_plan):
    np.save(tmp_path / "cells.npy", BYTES)
    source = open_source(f"npy:{tmp_path / 'cells.npy'}", "train")
    assert (source.size, source.has_labels, source.image_shape) == (11, False, None)
    assert source.identify(3).endswith("cells.npy image 3")
    np.testing.assert_array_equal(read(source, 3), BYTES[3])
    assert open_source(f"npy:{tmp_path / 'cells.npy'}", "test") is None
    crops, _, _ = next(TrainingBatches(source, make_plan(channels=5)))
    assert crops.shape == (4, 6, 6, 5)
    np.testing.assert_array_equal(preload(source, 5).read(tf.range(11)), BYTES)
    (views,) = center_views(source, np.arange(11), size=6, channels=5, batch_size=11)
    assert views.shape == (11, 6, 6, 5)


@pytest.mark.parametrize("images", [BYTES, DEEP, (DEEP / 65535).astype(np.float32)])
def test_a_stack_is_packed_without_loss(tmp_path, images):
    np.save(tmp_path / "stack.npy", images)
    write_tfrecords(open_source(f"npy:{tmp_path / 'stack.npy'}", "train"), tmp_path / "packed", shards=2)
    packed = open_source(f"tfrecord:{tmp_path / 'packed'}-*", "train")
    channels = images.shape[3] if images.ndim == 4 else 1
    found = decode(packed.read(tf.constant(10, tf.int64)), channels, SIXTEEN).numpy()
    expected = images[10].astype(np.uint16) * 257 if images.dtype == np.uint8 else DEEP[10][..., None]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", ["uint16", ">u2", "float32", "float64"])
def test_sixteen_bits_and_floats(tmp_path, kind, make_plan):
    array = DEEP.astype(kind) if "u" in kind else (DEEP / 65535).astype(kind)
    np.save(tmp_path / "deep.npy", array)
    source = open_source(f"npy:{tmp_path / 'deep.npy'}", "train")
    loaded = preload(source, 1, rendering=SIXTEEN)
    np.testing.assert_array_equal(loaded.read(tf.range(11))[..., 0], DEEP)
    np.testing.assert_array_equal(preload(source, 1).read(tf.constant(2))[..., 0], np.rint(DEEP[2] / 257.0))
    for images in (source, loaded) if kind == "float32" else ():
        crops, _, _ = next(TrainingBatches(images, make_plan(channels=1, rendering=SIXTEEN)))
        assert crops.dtype == tf.uint16 and crops.numpy().max() > 40_000


def test_labels_beside_a_stack_and_a_test_split(tmp_path):
    np.save(tmp_path / "my-train-set.npy", BYTES)
    np.save(tmp_path / "my-train-set.labels.npy", np.array(["cow", "ant"] * 5 + ["cow"]))
    np.save(tmp_path / "my-test-set.npy", BYTES[:2])
    np.save(tmp_path / "my-test-set.labels.npy", np.array(["bee", "cow"]))
    train, test = (open_source(f"npy:{tmp_path / 'my-train-set.npy'}", split) for split in ("train", "test"))
    assert train.class_names == test.class_names == ("ant", "bee", "cow")
    assert train.labels.tolist() == [2, 0] * 5 + [2] and test.labels.tolist() == [1, 2]
    np.save(tmp_path / "my-train-set.labels.npy", np.arange(11) * 10)
    (tmp_path / "my-test-set.labels.npy").unlink()
    train = open_source(f"npy:{tmp_path / 'my-train-set.npy'}", "train")
    assert train.class_names[:3] == ("0", "10", "20") and train.labels.tolist() == list(range(11))
    assert open_source(f"npy:{tmp_path / 'my-train-set.npy'}", "test").labels is None


def test_the_fingerprint_follows_pixels_and_labels(tmp_path):
    def fingerprint(images, labels=None):
        np.save(tmp_path / "x.npy", images)
        if labels is not None:
            np.save(tmp_path / "x.labels.npy", labels)
        return open_source(f"npy:{tmp_path / 'x.npy'}", "train").fingerprint

    changed = BYTES.copy()
    changed[7, 0, 0, 0] += 1
    found = [fingerprint(BYTES), fingerprint(changed), fingerprint(BYTES, np.arange(11))]
    assert len(set(found[:3])) == 3 and fingerprint(BYTES, np.arange(11)) == found[2]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.npy", None, "Invalid file .*x.npy: it does not exist"),
        ("x.npy", np.zeros((3, 4)), r"Invalid images .*: received \[3, 4\], expected one array"),
        ("x.npy", np.zeros((0, 4, 4)), r"received \[0, 4, 4\]"),
        ("x.npy", np.zeros((2, 4, 4), np.int64), "received int64, expected uint8, uint16, or floats"),
        ("x.labels.npy", np.zeros(3, int), r"received shape \[3\], expected \[2\], one for each image"),
        ("x.labels.npy", np.zeros(2), "Invalid labels .*received float64"),
    ],
)
def test_what_is_no_stack(tmp_path, name, content, message):
    if name != "x.npy":
        np.save(tmp_path / "x.npy", np.zeros((2, 4, 4), np.uint8))
    if content is not None:
        np.save(tmp_path / name, content)
    with pytest.raises(DataError, match=message) as caught:
        open_source(f"npy:{tmp_path / 'x.npy'}", "train")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_array(tmp_path):
    (tmp_path / "x.npy").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=r"Cannot read .*x\.npy as a \.npy file"):
        open_source(f"npy:{tmp_path / 'x.npy'}", "train")


@pytest.mark.parametrize("content", UNREADABLE)
def test_a_header_that_numpy_cannot_read_is_one_line(tmp_path, content):
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"Cannot read .*x\.npy as a \.npy file: \w") as caught:
        open_source(f"npy:{tmp_path / 'x.npy'}", "train")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    np.save(tmp_path / "x.npy", BYTES)
    (tmp_path / "x.labels.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"Cannot read .*x\.labels\.npy: \w") as caught:
        open_source(f"npy:{tmp_path / 'x.npy'}", "train")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_stack_that_shrinks_loses_its_last_images(tmp_path, order):
    """Read through a memory map, the missing pages would end the process by SIGBUS."""
    images = np.random.default_rng(1).integers(0, 256, (40, 64, 64, 3), np.uint8)
    file = tmp_path / "cells.npy"
    np.save(file, np.asarray(images, order=order))
    source, skipped = open_source(f"npy:{file}", "train"), SkippedImages()
    os.truncate(file, file.stat().st_size - 3 * images[0].nbytes - 5)
    batches = readable_views(source, np.arange(40), size=64, channels=3, batch_size=7, skipped=skipped)
    numbers = np.concatenate([np.zeros(0, np.int64), *(numbers for numbers, _ in batches)])
    # In Fortran's order a part of every image is lost.
    assert numbers.tolist() == (list(range(36)) if order == "C" else [])
    assert all("The file has become shorter: it has" in image.reason for image in skipped.images)
    file.unlink()
    if order == "C":
        np.testing.assert_array_equal(source.read(np.int64(3)), images[3])


def test_masks_and_a_first_pixel_that_is_no_number(tmp_path):
    masks = np.arange(60).reshape(3, 4, 5) % 2 == 0
    np.save(tmp_path / "masks.npy", masks)
    source = open_source(f"npy:{tmp_path}/masks.npy", "train")
    np.testing.assert_array_equal(source.read(np.int64(1))[..., 0], masks[1] * 255)
    floats = np.zeros((3, 4, 5), np.float32)
    floats[0, 0, 0] = np.nan
    np.save(tmp_path / "floats.npy", floats)
    source = open_source(f"npy:{tmp_path}/floats.npy", "train")
    assert "expected them in [0, 1]" in unreadable_reason(source, 0, 1) and unreadable_reason(source, 1, 1) is None
