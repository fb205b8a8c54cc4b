"""digits, arrays, folders, and the text that names them."""

import hashlib
import os

import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

from barlowtf.data import SOURCES, ArraySource, open_source, preload
from barlowtf.errors import DataError


def write_image(path, shade=7):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tf.io.encode_png(np.full((4, 5, 3), shade, np.uint8)).numpy())


def test_digits_are_the_scans_of_scikit_learn():
    train, test = open_source("digits", "train"), open_source("digits", "test")
    assert (train.size, test.size) == (1437, 360)
    bunch = load_digits()
    image = test.read(tf.constant(3)).numpy()
    # 255 / 16 is 15.94: the nearest whole number, worked out here in integers.
    np.testing.assert_array_equal(image[..., 0], (bunch.images[15].astype(int) * 510 + 16) // 32)
    assert image.max() == 255 and image.dtype == np.uint8
    np.testing.assert_array_equal(test.labels, bunch.target[::5])
    np.testing.assert_array_equal(train.labels[:4], bunch.target[1:5])
    assert train.class_names == tuple("0123456789")
    assert train.fingerprint == open_source("digits", "train").fingerprint != test.fingerprint
    assert test.identify(3) == "digits test image 3"


def test_array_source_refuses_other_shapes():
    with pytest.raises(ValueError, match="Invalid images: received float64 .* expected uint8"):
        ArraySource("x", np.zeros((2, 3, 3, 1)))
    with pytest.raises(ValueError, match=r"Invalid labels: received shape \(3,\), expected \(2,\)"):
        ArraySource("x", np.zeros((2, 3, 3, 1), np.uint8), np.zeros(3, int))
    with pytest.raises(DataError, match="x is empty"):
        ArraySource("x", np.zeros((0, 3, 3, 1), np.uint8))


def test_labels_of_a_source_without_labels():
    source = ArraySource("x", np.zeros((2, 3, 3, 1), np.uint8))
    assert source.labels is None
    with pytest.raises(DataError, match="x has no labels"):
        source.labels_of(np.array([0]))


def test_class_folders_and_their_splits(class_folders):
    train, test = open_source(str(class_folders), "train"), open_source(str(class_folders), "test")
    assert (train.size, test.size) == (23, 4)
    assert train.class_names == test.class_names == ("ant", "bee", "cow")
    names = [os.path.relpath(train.identify(index), class_folders / "train") for index in range(23)]
    assert names == sorted(names)
    assert [train.class_names[label] for label in train.labels] == [name.split(os.sep)[0] for name in names]
    np.testing.assert_array_equal(train.labels_of(np.array([22, 0])), [2, 0])
    with open(train.identify(9), "rb") as file:
        assert train.read(tf.constant(9)).numpy() == file.read()


def test_a_class_without_test_images_keeps_its_number(tmp_path):
    for name in ("train/ant/1.png", "train/bee/1.png", "train/cow/1.png", "test/cow/1.png"):
        write_image(tmp_path / name)
    np.testing.assert_array_equal(open_source(str(tmp_path), "test").labels, [2])


def test_flat_folder_has_no_labels_and_passes_over_hidden_files(tmp_path):
    for name in ("b.JPG", "a.png", "deep/er/c.BMP", ".hidden.png", ".cache/d.png", "e.Gif", "notes.txt"):
        write_image(tmp_path / name)
    source = open_source(str(tmp_path), "train")
    found = [os.path.relpath(source.identify(index), tmp_path) for index in range(source.size)]
    assert found == ["a.png", "b.JPG", os.path.join("deep", "er", "c.BMP"), "e.Gif"]
    assert source.labels is None and source.class_names is None
    assert open_source(str(tmp_path), "test") is None


def test_what_systems_leave_behind_is_passed_over(tmp_path):
    kept = ["a/1.webp", "a/deep/2.TIF", "b/3.npy", "b/4.jfif", "b/5.tiff"]
    left = ["a/._1.webp", ".DS_Store", "a/Thumbs.db", "__MACOSX/a/1.png", "a/@eaDir/1.jpg/x.jpg", "b/3.labels.npy"]
    for name in [*kept, *left]:
        write_image(tmp_path / name)
    source = open_source(str(tmp_path), "train")
    assert [os.path.relpath(source.identify(index), tmp_path) for index in range(source.size)] == kept
    assert source.class_names == ("a", "b")


def test_links_are_followed_but_not_in_circles(tmp_path):
    for name in ("data/ant/1.png", "elsewhere/2.png", "elsewhere/inner/3.png"):
        write_image(tmp_path / name)
    (tmp_path / "data" / "bee").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere" / "inner" / "up").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "data" / "ant" / "all").symlink_to(tmp_path / "data", target_is_directory=True)
    source = open_source(str(tmp_path / "data"), "train")
    found = [os.path.relpath(source.identify(index), tmp_path / "data") for index in range(source.size)]
    assert found == ["ant/1.png", "bee/2.png", "bee/inner/3.png"]
    assert source.labels.tolist() == [0, 1, 1]


def test_the_first_folder_is_the_class_and_one_class_is_none(tmp_path):
    for name in ("dog/old/1.png", "dog/2.png", "trains/3.png"):
        write_image(tmp_path / name)
    source = open_source(str(tmp_path), "train")
    assert source.class_names == ("dog", "trains")
    np.testing.assert_array_equal(source.labels, [0, 0, 1])
    assert open_source(str(tmp_path / "dog"), "train").labels is None


def test_folder_with_train_alone_is_a_split(tmp_path):
    write_image(tmp_path / "train/a/1.png")
    write_image(tmp_path / "train/b/1.png")
    assert open_source(str(tmp_path), "train").class_names == ("a", "b")
    assert open_source(str(tmp_path), "test") is None


def test_folder_fingerprint_is_names_sizes_and_a_sample_of_the_bytes(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.png").write_bytes(b"12345")
    (tmp_path / "x" / "b.png").write_bytes(b"1")
    source = open_source(str(tmp_path / "x"), "train")
    sample = hashlib.sha256(hashlib.sha256(b"12345").digest() + hashlib.sha256(b"1").digest()).digest()
    assert source.fingerprint == hashlib.sha256(b"a.png\x005\x00b.png\x001\x00" + sample).hexdigest()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "Invalid folder .*missing: it does not exist"),
        (lambda path: path.write_text("x"), "Invalid folder .*missing: it is a file.*table:FILE"),
        (
            lambda path: path.mkdir(),
            r"No images in .*missing: received no files, expected files ending in \.jpg",
        ),
        (
            lambda path: write_image(path / "x.heic"),
            "No images in .*missing: received other files only \\(1 \\.heic\\)",
        ),
    ],
)
def test_unusable_folders(tmp_path, make, message):
    make(tmp_path / "missing")
    with pytest.raises(DataError, match=message) as caught:
        open_source(str(tmp_path / "missing"), "train")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spec", ["", "tfds:", "tfrecord:", "http://example.org/x.zip", "digits:"])
def test_texts_that_name_nothing(spec):
    with pytest.raises(DataError, match="Unknown data: received .*, expected digits, tfds:NAME") as caught:
        open_source(spec, "train")
    assert "tfrecord:GLOB, npy:FILE, table:FILE, FOLDER, or your own FILE.py:NAME" in str(caught.value)


def test_every_entry_is_found_by_its_spec(tmp_path):
    examples = {"digits": "digits", "tfds": "tfds:x/y:1.0.0", "tfrecord": "tfrecord:a/b-*"}
    examples |= {"npy": "npy:a.npy", "table": "table:a.csv", "folder": str(tmp_path)}
    assert list(SOURCES) == list(examples)
    for name, spec in examples.items():
        matching = [other for other, kind in SOURCES.items() if kind.prefix and kind.matches(spec)]
        assert matching == ([] if name == "folder" else [name])
    # The folder takes what is left over, so there can be only one of its sort.
    assert [name for name, kind in SOURCES.items() if not kind.prefix] == ["folder"]
    assert all(SOURCES.summaries[name].startswith(kind.prefix) for name, kind in SOURCES.items())


def test_a_folder_with_a_colon_in_its_name_is_a_folder(tmp_path, monkeypatch):
    write_image(tmp_path / "a:b" / "1.png")
    monkeypatch.chdir(tmp_path)
    assert open_source("a:b", "train").size == 1


def test_unknown_split():
    with pytest.raises(ValueError, match="Invalid split: received 'valid', expected"):
        open_source("digits", "valid")


def test_preload_keeps_ids_labels_and_names(tmp_path):
    for number in range(5):
        write_image(tmp_path / "ab"[number % 2] / f"{number}.png", shade=number)
    source = open_source(str(tmp_path), "train")
    loaded = preload(source, 3)
    assert loaded.image_shape == (4, 5, 3)
    np.testing.assert_array_equal(loaded.read(tf.range(5))[:, 0, 0, 0], [0, 2, 4, 1, 3])
    np.testing.assert_array_equal(loaded.labels, source.labels)
    assert (loaded.name, loaded.fingerprint, loaded.identify(2)) == (
        source.name,
        source.fingerprint,
        source.identify(2),
    )
    assert loaded.class_names == ("a", "b")
    assert preload(loaded, 3) is loaded


def test_preload_leaves_large_and_uneven_sets_on_disk_and_knows_the_unreadable(tmp_path, class_folders):
    write_image(tmp_path / "few" / "1.png")
    write_image(tmp_path / "few" / "2.png")
    few = open_source(str(tmp_path / "few"), "train")
    assert preload(few, 3, limit=2 * 4 * 5 * 3).image_shape == (4, 5, 3)
    assert preload(few, 3, limit=2 * 4 * 5 * 3 - 1) is few
    uneven = open_source(str(class_folders), "train")
    assert preload(uneven, 3) is uneven
    (tmp_path / "few" / "3.png").write_bytes(b"no image")
    damaged = preload(open_source(str(tmp_path / "few"), "train"), 3)
    assert damaged.image_shape == (4, 5, 3) and damaged.size == 3
    with pytest.raises(tf.errors.InvalidArgumentError, match="Unknown image format"):
        damaged.read(tf.constant(2, tf.int64))
